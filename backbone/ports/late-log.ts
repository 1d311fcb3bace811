import { clock } from '../../core/clock.ts';
import { Closed, explain, LogUnavailable } from '../../core/errors.ts';
import { type ConnectionState, Watched } from '../../core/lifecycle.ts';
import { backoff, pause } from '../../core/timing.ts';
import type { Follower, Log, LogEntry, LogHead, LogPosition, LogReading } from './log.ts';

const FIRST_RETRY_MS = 100;
const MOST_RETRY_MS = 5_000;

/**
 * A log that may be unreachable when its user starts. It is opened as soon as it can be reached; until then every use
 * of it rejects with LogUnavailable.
 */
export class LateLog implements Log {
  private readonly watched = new Watched();
  private readonly closing = new AbortController();
  private readonly arriving: Promise<void>;
  private log: Log | undefined;

  constructor(open: () => Promise<Log>) {
    this.watched.set({ is: 'down', since: clock.now(), why: 'it was not reached yet' });
    this.arriving = this.reach(open);
  }

  get state(): ConnectionState {
    return this.watched.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.watched.watch(listener);
  }

  async append(body: Uint8Array): Promise<void> {
    await this.reached().append(body);
  }

  async read(from: LogPosition, limit: number, reading?: LogReading): Promise<LogEntry[]> {
    return await this.reached().read(from, limit, reading);
  }

  async follow(from: LogPosition, handler: (entries: readonly LogEntry[]) => void | Promise<void>): Promise<Follower> {
    return await this.reached().follow(from, handler);
  }

  async head(): Promise<LogHead> {
    return await this.reached().head();
  }

  async close(): Promise<void> {
    this.closing.abort();
    await this.arriving;
    await this.log?.close();
    this.watched.set({ is: 'closed' });
  }

  private async reach(open: () => Promise<Log>): Promise<void> {
    for (let tries = 0; !this.closing.signal.aborted; tries++) {
      try {
        const log = await open();
        log.watch((state) => this.watched.set(state));
        this.log = log;
        this.watched.set(log.state);
        return;
      } catch (error) {
        this.watched.set({ is: 'down', since: clock.now(), why: explain(error) });
      }
      await pause(backoff(tries, FIRST_RETRY_MS, MOST_RETRY_MS), this.closing.signal);
    }
  }

  private reached(): Log {
    if (this.closing.signal.aborted) throw new Closed('the log');
    if (this.log) return this.log;
    const { state } = this;
    throw new LogUnavailable(`the log is not available: ${state.is === 'down' ? state.why : state.is}`);
  }
}
