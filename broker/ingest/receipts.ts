import { clock } from '../../core/clock.ts';
import { STEP_MS } from '../../core/clock-watch.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { instant } from '../../telemetry/instant.ts';

/** How many receipts one millisecond has. */
const COUNTS = 1_000;
/** While the clock is set back by less than this, receipts rise from the last one. */
const MOST_BACK_MS = 60_000;

export interface ReceiptsOptions {
  readonly log: Logger;
  /** Where it counts how often the clock was found set back. Absent: nowhere. */
  readonly metrics?: Metrics | undefined;
  /** The wall clock, Unix ms. */
  readonly now?: () => number;
}

/**
 * Gives each publish a receipt that no other publish has: an instant, which is the millisecond of the clock and a count from 0 to 999. It is
 * the time of a reading that has none of its own. If two were equal, one reading would take the place of the other.
 *
 * At one broker receipts are distinct and rise. All its publishes share one count, which goes on from 999 to 0; when that happens within a
 * millisecond, the next millisecond is used. Only more than a million publishes a second would get ahead of the clock.
 *
 * The count begins at a number that is drawn for each run. Two runs, or two brokers whose clocks agree, that use the same millisecond therefore
 * give the same receipt only once in a thousand times.
 *
 * When the clock is set back by less than a minute, receipts go on rising from the last one, until the clock has passed it. When it is
 * set back further, they follow the clock and a new number is drawn, as in a new run: dates that are hours wrong would be worse.
 */
export class Receipts {
  private readonly log: Logger;
  private readonly now: () => number;
  private read: number;
  private ms = 0;
  private sub = draw();
  readonly counts = { anew: 0 };
  /** Called before a receipt is given, when the clock says something else than a moment ago: perhaps it was set. */
  jumped: () => void = () => {};

  constructor({ log, metrics, now = clock.now }: ReceiptsOptions) {
    this.log = log;
    this.now = now;
    this.read = now();
    metrics?.counts(
      'loam_receipts_total',
      'Times that the clock was set back so far that the times of receipt followed it',
      () => this.counts,
    );
  }

  /** The next receipt: Unix ms, with the count behind the point. */
  next(): number {
    const now = this.now();
    if (now - this.read > STEP_MS || this.read - now > STEP_MS) this.jumped();
    this.read = now;
    this.sub = (this.sub + 1) % COUNTS;
    if (now > this.ms) this.ms = now;
    else if (this.ms - now >= MOST_BACK_MS) this.beginAt(now);
    else if (this.sub === 0) this.ms += 1;
    return instant(this.ms, this.sub);
  }

  private beginAt(now: number): void {
    this.log.warn(
      { event: 'clock_set_back', backMs: this.ms - now },
      'the clock was set back: times of receipt follow it, and may be some that were given before',
    );
    this.counts.anew += 1;
    this.ms = now;
    this.sub = draw();
  }
}

function draw(): number {
  return Math.floor(Math.random() * COUNTS);
}
