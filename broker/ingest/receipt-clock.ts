import type { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import { beginOf, type ClockHistory } from '../../backbone/clocks/clock-history.ts';
import type { Log } from '../../backbone/ports/log.ts';
import { type Clock, clock as machineClock } from '../../core/clock.ts';
import { ClockWatch, distanceOf, STEP_MS } from '../../core/clock-watch.ts';
import { EncodingInvalid, explain } from '../../core/errors.ts';
import type { Health, Part } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { backoff, pause } from '../../core/timing.ts';
import { bareRun } from '../../telemetry/account/batch-place.ts';
import { decodeLive } from '../../telemetry/batch.ts';
import { type ClockEntry, encodeClockEntry } from '../../telemetry/clock-entry.ts';
import type { Receipts } from './receipts.ts';

/** Publishes that need a receipt wait for so long at most while nobody believes the clock, ms. */
export const LONGEST_DOUBT_MS = 600_000;
const LOOK_MS = 1_000;
const ASK_MS = 10_000;
/** For so long after the clock was set it is told in `/readyz`, ms. */
const TELL_MS = 86_400_000;
/** Entries of the live log in which the newest kept receipt is looked for. */
const NEWEST_WITHIN = 200;
/** Entries that wait for the log. At the limit the oldest is dropped: its receipts are then taken as they are. */
const MOST_WAITING = 1_000;
const FIRST_RETRY_MS = 200;
const MOST_RETRY_MS = 5_000;

export interface ReceiptClockOptions {
  /** The entrances whose batches are received by this clock. */
  readonly entrances: readonly BatchEntrance[];
  readonly receipts: Pick<Receipts, 'jumped'>;
  readonly clocks: Log;
  readonly history: ClockHistory;
  /** Where the newest kept receipt is found. */
  readonly live: Log;
  readonly log: Logger;
  readonly metrics?: Metrics | undefined;
  /** When this Loam was built, Unix ms. */
  readonly built: number;
  /** As in `ClockEntry`. */
  readonly machine: string;
  /** Whether the system says that its clock is right. Never rejects. */
  readonly isSynchronised: () => Promise<boolean>;
  readonly clock?: Clock;
  readonly lookMs?: number;
}

/**
 * Watches the wall clock by which publishes are received, and writes down in the log of clocks by which clock each run of an entrance was received.
 *
 * A clock before the date of the build, or before the newest receipt that is kept, is doubted, and not corrected: which of the two is wrong cannot be
 * known. The doubt ends when the system says that its clock is synchronised, or when the clock is set and there is no reason any more. That the clock was
 * seen to be set back is a reason for the earlier receipts to be ahead, and none to doubt it. For the first ten minutes of a doubt
 * what needs a receipt waits.
 *
 * With every setting of the clock, and every end of a doubt, the entrances begin new runs: so of each batch it is known by which clock it was received.
 */
export class ReceiptClock implements Part {
  readonly name = 'clock';
  readonly counts = { ahead: 0, back: 0 };
  private readonly options: ReceiptClockOptions;
  private readonly clock: Clock;
  private readonly watch: ClockWatch;
  private readonly stopping = new AbortController();
  private doubt = '';
  private waits = false;
  /** When the doubt began, ms since the machine was started. */
  private since = 0;
  /** The newest receipt that is kept, Unix ms. */
  private newest = 0;
  private setting: { readonly sinceBoot: number; readonly why: string } | undefined;
  private waiting: ClockEntry[] = [];
  private writing: Promise<void> | undefined;
  private timer: NodeJS.Timeout | undefined;
  private askedAt: number | undefined;

  constructor(options: ReceiptClockOptions) {
    this.options = options;
    this.clock = options.clock ?? machineClock;
    this.watch = new ClockWatch(this.clock);
    options.metrics?.counts('loam_clock_set_total', 'Times that the clock was found set, ahead or back', () => ({
      ...this.counts,
    }));
    options.metrics?.gauge('loam_clock_doubted', '1 while nobody believes the clock', () => (this.doubt ? 1 : 0));
  }

  /** Never rejects: what cannot be read is not known then. */
  async start(): Promise<void> {
    const { history, machine, receipts, log } = this.options;
    this.newest = await this.newestKept();
    const before = history.newestOf(machine);
    const byMs = before ? distanceOf(this.clock) - before.distance : 0;
    if (Math.abs(byMs) > STEP_MS) this.tellSet(byMs);
    this.doubt = this.reason(byMs);
    if (this.doubt !== '' && (await this.options.isSynchronised())) this.doubt = '';
    this.since = this.doubtBegan();
    if (this.doubt !== '') log.warn({ event: 'clock_doubted' }, `the clock is doubted: ${this.doubt}`);
    this.renew();
    receipts.jumped = () => this.look();
    this.timer = setInterval(() => this.look(), this.options.lookMs ?? LOOK_MS).unref();
  }

  /** Resolves when what was written down is in the log, or cannot be. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.options.receipts.jumped = () => {};
    this.stopping.abort();
    await this.writing;
  }

  /** Looks whether the clock was set, or may be believed again. It is called every second, and before a receipt that is far from the last one. */
  look(): void {
    const { log } = this.options;
    if (this.watch.look() === 'set') {
      const byMs = this.watch.steps.at(-1)?.byMs ?? 0;
      const was = this.doubt;
      this.tellSet(byMs);
      this.doubt = this.reason(byMs);
      if (this.doubt !== '' && was === '') this.since = this.clock.sinceBoot();
      if (this.doubt !== '') log.warn({ event: 'clock_doubted' }, `the clock is doubted: ${this.doubt}`);
      this.renew();
    } else if (this.doubt === '') this.newest = Math.max(this.newest, this.clock.now());
    else {
      if (this.waits && !this.mayWait()) this.renew();
      this.ask();
    }
  }

  health(): Health {
    const { name } = this;
    if (this.doubt !== '') return { name, ok: false, optional: true, why: `it is doubted: ${this.doubt}` };
    const { setting } = this;
    if (setting && this.clock.sinceBoot() - setting.sinceBoot < TELL_MS) {
      return { name, ok: false, optional: true, why: setting.why };
    }
    return { name, ok: true, optional: true };
  }

  /** Why the clock is doubted; `''` when it is not. `byMs`: how far it was set just now. After a step back the receipts before it are known to be ahead. */
  private reason(byMs: number): string {
    const now = this.clock.now();
    const { built } = this.options;
    if (now < built) return `it says ${date(now)}, and this Loam was built ${date(built)}`;
    if (byMs < -STEP_MS) {
      this.newest = now;
      return '';
    }
    if (now < this.newest - STEP_MS) return `it says ${date(now)}, and the newest receipt is of ${date(this.newest)}`;
    return '';
  }

  /** A doubt goes on over restarts of the process: it began with the first of the machine's latest runs that are all doubted. */
  private doubtBegan(): number {
    let since = this.clock.sinceBoot();
    for (const entry of this.options.history.runsOf(this.options.machine).reverse()) {
      if (entry.doubt === '') break;
      since = beginOf(entry);
    }
    return since;
  }

  private mayWait(): boolean {
    return this.doubt !== '' && this.clock.sinceBoot() - this.since < LONGEST_DOUBT_MS;
  }

  /** Asks now and then whether the system's clock is synchronised by now. */
  private ask(): void {
    const passed = this.clock.passed();
    if (this.askedAt !== undefined && passed - this.askedAt < ASK_MS) return;
    this.askedAt = passed;
    void this.options.isSynchronised().then((isSynchronised) => {
      if (!isSynchronised || this.doubt === '' || this.stopping.signal.aborted) return;
      // It may have been set a moment ago: then this is a later clock than the one that was doubted.
      this.look();
      if (this.doubt === '') return;
      this.options.log.info({ event: 'clock_believed' }, 'the system says that its clock is synchronised');
      this.doubt = '';
      this.newest = this.clock.now();
      this.renew();
    });
  }

  private renew(): void {
    const { entrances, machine, history } = this.options;
    this.waits = this.mayWait();
    const at = Math.round(this.clock.now());
    const distance = Math.round(distanceOf(this.clock));
    for (const entrance of entrances) {
      const run = bareRun(entrance.renew(this.waits));
      const entry = { run, machine, distance, at, doubt: this.doubt, waits: this.waits };
      history.take(entry);
      this.waiting.push(entry);
    }
    this.waiting.splice(0, this.waiting.length - MOST_WAITING);
    this.writing ??= this.write();
  }

  private tellSet(byMs: number): void {
    const now = this.clock.now();
    const was = now - byMs;
    this.counts[byMs > 0 ? 'ahead' : 'back'] += 1;
    const why =
      byMs > 0
        ? `the clock was set ahead by ${span(byMs)}, to ${date(now)}: receipts before that are behind by as much`
        : `the clock was set back by ${span(-byMs)}, from ${date(was)}: receipts up to that one are ahead by as much`;
    this.setting = { sinceBoot: this.clock.sinceBoot(), why };
    this.options.log.warn({ event: 'clock_set', byMs: Math.round(byMs), now: date(now), was: date(was) }, why);
  }

  /** Never rejects: what the log does not take is tried again until the process stops. */
  private async write(): Promise<void> {
    let failures = 0;
    for (let [entry] = this.waiting; entry; [entry] = this.waiting) {
      const written = entry;
      try {
        await this.options.clocks.append(encodeClockEntry(written));
        this.waiting = this.waiting.filter((one) => one !== written);
        failures = 0;
      } catch (error) {
        if (this.stopping.signal.aborted) break;
        if (failures === 0) this.options.log.warn(`the log of clocks is away: ${explain(error)}`);
        await pause(backoff(failures++, FIRST_RETRY_MS, MOST_RETRY_MS), this.stopping.signal);
      }
    }
    this.writing = undefined;
  }

  /** The newest receipt among the latest readings, Unix ms; 0 when none can be read. */
  private async newestKept(): Promise<number> {
    try {
      const { epoch, first, next } = await this.options.live.head();
      const offset = Math.max(first, next - NEWEST_WITHIN);
      const entries = await this.options.live.read({ offset, epoch }, NEWEST_WITHIN);
      let newest = 0;
      for (const { body } of entries) for (const received of receiptsIn(body)) newest = Math.max(newest, received);
      return newest;
    } catch (error) {
      this.options.log.warn(`the newest receipt is not known: ${explain(error)}`);
      return 0;
    }
  }
}

function receiptsIn(body: Uint8Array): number[] {
  try {
    return decodeLive(body).readings.map(({ received }) => received);
  } catch (error) {
    if (error instanceof EncodingInvalid) return [];
    throw error;
  }
}

function date(ms: number): string {
  return new Date(ms).toISOString();
}

function span(ms: number): string {
  const minutes = ms / 60_000;
  if (minutes < 120) return `${Math.round(minutes * 10) / 10} min`;
  const hours = minutes / 60;
  return hours < 48 ? `${Math.round(hours * 10) / 10} h` : `${Math.round(hours / 2.4) / 10} d`;
}
