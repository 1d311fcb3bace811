import { explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { backoff, pause } from '../../core/timing.ts';
import { encodeEvent, type RecordedEvent } from '../../telemetry/event.ts';
import type { Log } from '../ports/log.ts';

/** Most events that wait for the log, a few hundred bytes each. Further ones are counted as lost. */
const MOST_WAITING = 10_000;
/** Appends under way at once: the log makes one write of those that come together. */
const AT_ONCE = 200;
const FIRST_RETRY_MS = 100;
const MOST_RETRY_MS = 5_000;

/**
 * Appends events to the event log, or to that of refusals, in the order in which they come, without holding up whoever has them. While the log
 * cannot be reached they wait in memory, up to a limit. An append that failed is made again, so an event may be in the
 * log twice: with the same id.
 */
export class EventWriter {
  readonly counters = { written: 0, lost: 0 };
  private readonly events: Log;
  private readonly logger: Logger;
  /** What they are called in log lines. */
  private readonly name: string;
  private readonly stopping = new AbortController();
  private waiting: RecordedEvent[] = [];
  private running: Promise<void> | undefined;
  private roomFor: (() => void)[] = [];
  private isAway = false;

  constructor(events: Log, logger: Logger, name: 'events' | 'refusals' = 'events') {
    this.events = events;
    this.logger = logger;
    this.name = name;
  }

  /** Returns at once. An event for which there is no room is counted as lost. */
  write(event: RecordedEvent): void {
    if (this.stopping.signal.aborted || this.waiting.length >= MOST_WAITING) {
      this.lose(1);
      return;
    }
    this.waiting.push(event);
    this.running ??= this.run();
  }

  /** As `write`, for many: waits for room as long as the log takes events. Never rejects. */
  async writeAll(events: Iterable<RecordedEvent>): Promise<void> {
    for (const event of events) {
      while (this.waiting.length >= MOST_WAITING && !this.isAway && !this.stopping.signal.aborted) {
        await new Promise<void>((resolve) => this.roomFor.push(resolve));
      }
      this.write(event);
    }
  }

  /** Resolves when what waited is written, or counted as lost because the log does not take it. Later events are lost. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    for (let failures = 0; this.waiting.length > 0; ) {
      const now = this.waiting.slice(0, AT_ONCE);
      const done = await Promise.allSettled(now.map((event) => this.append(event)));
      const failed = now.filter((_, i) => done[i]?.status === 'rejected');
      this.counters.written += now.length - failed.length;
      this.waiting.splice(0, now.length, ...failed);
      failures = failed.length === 0 ? 0 : failures + 1;
      this.noteOutage(done);
      this.giveRoom();
      if (failures === 0) continue;
      if (this.stopping.signal.aborted) this.lose(this.waiting.splice(0).length);
      else await pause(backoff(failures - 1, FIRST_RETRY_MS, MOST_RETRY_MS), this.stopping.signal);
    }
    this.running = undefined;
  }

  private async append(event: RecordedEvent): Promise<void> {
    await this.events.append(encodeEvent(event));
  }

  /** Says once that the log does not take events, and once that it does again. */
  private noteOutage(done: readonly PromiseSettledResult<void>[]): void {
    const failure = done.find((one) => one.status === 'rejected');
    if (failure && !this.isAway)
      this.logger.warn(`${this.name} cannot be written and wait: ${explain(failure.reason)}`);
    if (!failure && this.isAway) this.logger.info(`${this.name} are written again; ${this.counters.lost} were lost`);
    this.isAway = failure !== undefined;
  }

  /** Lets go on who waits for room; when the log is away, so that nobody waits for its return. */
  private giveRoom(): void {
    if (this.waiting.length >= MOST_WAITING && !this.isAway) return;
    for (const goOn of this.roomFor.splice(0)) goOn();
  }

  private lose(events: number): void {
    if (events > 0 && this.counters.lost === 0)
      this.logger.error(`${this.name} are lost: their log does not take them`);
    this.counters.lost += events;
  }
}
