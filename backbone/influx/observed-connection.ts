import { clock } from '../../core/clock.ts';
import { explain } from '../../core/errors.ts';
import { type ConnectionState, Watched } from '../../core/lifecycle.ts';

/**
 * The state of a server, as calls to it show: down after a call that failed, up after one that worked. While it is down
 * `probe` is called every `everyMs`, so that it comes up again without other calls. After `close` it stays closed.
 */
export class ObservedConnection {
  private readonly watched = new Watched();
  private readonly probe: () => Promise<void>;
  private readonly everyMs: number;
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

  worked(): void {
    if (this.state.is === 'closed') return;
    clearTimeout(this.timer);
    this.timer = undefined;
    this.watched.set({ is: 'up' });
  }

  failed(error: unknown): void {
    if (this.state.is === 'closed') return;
    this.watched.set({ is: 'down', since: clock.now(), why: explain(error) });
    this.timer ??= setTimeout(() => void this.ask(), this.everyMs).unref();
  }

  close(): void {
    clearTimeout(this.timer);
    this.watched.set({ is: 'closed' });
  }

  private async ask(): Promise<void> {
    try {
      await this.probe();
      this.worked();
    } catch (error) {
      this.timer = undefined;
      this.failed(error);
    }
  }
}
