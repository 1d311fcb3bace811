import { clock } from '../../core/clock.ts';
import { explain, StoreUnavailable } from '../../core/errors.ts';
import { type ConnectionState, Watched } from '../../core/lifecycle.ts';
import { LONGEST_ASKED_MS } from '../../core/timing.ts';
import { DatabaseMissing, ServerRefusal } from './answers.ts';

/** What is done with a server. One of them may fail while the other works. */
export type ServerCall = 'read' | 'write';

/** Why calls of one kind do not work. */
interface CallTrouble {
  readonly why: string;
  /** The server answers, and refuses: that it can be asked something shows nothing of it. */
  readonly outlastsProbe: boolean;
}

/**
 * The state of a server, as calls to it show: down after a call that failed, up after one of the same kind that worked. While
 * it is down `probe`, which reads, is called every `everyMs`, so that it comes up again without other calls; a server that asks
 * for a pause gets it, of a minute at most. Only a server that refuses writes, and nothing else, stays down until one works. After
 * `close` it stays closed.
 */
export class ObservedConnection {
  private readonly watched = new Watched();
  private readonly probe: () => Promise<void>;
  private readonly everyMs: number;
  private readonly troubles = new Map<ServerCall, CallTrouble>();
  private notBefore = 0;
  private timer: NodeJS.Timeout | undefined;

  constructor(probe: () => Promise<void>, everyMs: number) {
    this.probe = probe;
    this.everyMs = everyMs;
  }

  get state(): ConnectionState {
    return this.watched.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.watched.watch(listener);
  }

  worked(call: ServerCall): void {
    if (this.state.is === 'closed' || !this.troubles.delete(call)) return;
    const [other] = this.troubles.values();
    if (other) {
      this.down(other.why);
      return;
    }
    clearTimeout(this.timer);
    this.timer = undefined;
    this.notBefore = 0;
    this.watched.set({ is: 'up' });
  }

  failed(error: unknown, call: ServerCall): void {
    if (this.state.is === 'closed') return;
    const asked = error instanceof StoreUnavailable ? (error.retryAfterMs ?? 0) : 0;
    this.notBefore = Math.max(this.notBefore, clock.passed() + Math.min(asked, LONGEST_ASKED_MS));
    const why = explain(error);
    const refuses = error instanceof ServerRefusal && !(error instanceof DatabaseMissing);
    this.troubles.set(call, { why, outlastsProbe: call === 'write' && refuses });
    this.down(why);
    this.askLater();
  }

  close(): void {
    clearTimeout(this.timer);
    this.watched.set({ is: 'closed' });
  }

  private down(why: string): void {
    this.watched.set({ is: 'down', since: clock.now(), why });
  }

  private askLater(): void {
    const ms = Math.max(this.everyMs, this.notBefore - clock.passed());
    this.timer ??= setTimeout(() => void this.ask(), ms).unref();
  }

  private async ask(): Promise<void> {
    try {
      await this.probe();
      this.worked('read');
      if (!this.troubles.get('write')?.outlastsProbe) this.worked('write');
    } catch (error) {
      // What refuses everything is over when the probe works again.
      const write = this.troubles.get('write');
      if (write) this.troubles.set('write', { ...write, outlastsProbe: false });
      this.failed(error, 'read');
    }
    this.timer = undefined;
    if (this.troubles.size > 0 && this.state.is !== 'closed') this.askLater();
  }
}
