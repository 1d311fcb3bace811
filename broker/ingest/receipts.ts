import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { BrokerLimits } from '../limits.ts';

export type ReceiptLimits = Pick<BrokerLimits, 'receiptSensors' | 'aheadMs'>;

export interface ReceiptsOptions {
  readonly limits: ReceiptLimits;
  readonly log: Logger;
  /** Where it counts what happens at its bounds. Absent: nowhere. */
  readonly metrics?: Metrics | undefined;
  /** The clocks, ms: the wall's, and the monotonic one. */
  readonly clocks?: { readonly wall: () => number; readonly monotonic: () => number };
}

interface Entry {
  /** The last receipt, Unix ms. */
  last: number;
  /** When a clock that nobody sets will have come to it, monotonic ms. */
  due: number;
}

const CLOCKS = { wall: () => Date.now(), monotonic: () => performance.now() };
/** At the bound, so many of the sensors that were quiet longest are looked at for one that can be forgotten. */
const LOOKED_AT = 100;
const SAY_AGAIN_MS = 60_000;

/**
 * Gives every publish the time of its receipt, Unix ms: the time of a reading that has none of its own. No two publishes of a sensor get
 * the same one, or one reading would take the place of the other. So a publish gets the clock's time, or a millisecond more than the one before it.
 *
 * A sensor that publishes faster than that runs ahead of the clock, up to `aheadMs`. At that bound its publishes are held, unacknowledged, as
 * by a rate: one goes on each millisecond.
 *
 * A clock that is set back by up to `aheadMs` changes nothing: receipts go on rising. If it is set back further, they begin anew from the clock's
 * time, for dates that are hours wrong would be worse; a receipt given before may then be given again when the clock comes to it.
 *
 * Remembered are the latest `receiptSensors` sensors. One that the clock has passed can be forgotten at no loss; while none can be, further
 * sensors share one row of receipts, which are distinct as well.
 */
export class Receipts {
  private readonly options: ReceiptsOptions;
  private readonly clocks: NonNullable<ReceiptsOptions['clocks']>;
  /** The one that was quiet longest first. */
  private readonly sensors = new Map<string, Entry>();
  private readonly shared: Entry = { last: Number.NEGATIVE_INFINITY, due: Number.NEGATIVE_INFINITY };
  private saidAt = Number.NEGATIVE_INFINITY;
  readonly counts = { risen: 0, held: 0, shared: 0, anew: 0 };

  constructor(options: ReceiptsOptions) {
    this.options = options;
    this.clocks = options.clocks ?? CLOCKS;
    options.metrics?.counts(
      'loam_receipts_total',
      'Times of receipt that were moved on by a millisecond or more, and what happened at their bounds',
      () => this.counts,
    );
  }

  /** Calls `go` with the receipt of a sensor's publish: at once, or when the sensor is no longer too far ahead of the clock. */
  give(farm: string, sensor: string, go: (received: number) => void): void {
    const now = this.clocks.wall();
    const monotonic = this.clocks.monotonic();
    const entry = this.entryOf(`${farm}/${sensor}`, now);
    this.moveOn(entry, now, monotonic);
    const received = entry.last;
    const heldMs = Math.ceil(entry.due - monotonic - this.options.limits.aheadMs);
    if (heldMs <= 0) {
      go(received);
      return;
    }
    this.counts.held += 1;
    this.sayAhead(farm, sensor, monotonic);
    setTimeout(() => go(received), heldMs);
  }

  private moveOn(entry: Entry, now: number, monotonic: number): void {
    const { aheadMs } = this.options.limits;
    const next = entry.last + 1;
    if (next > now) {
      // A sensor can be so far ahead because it publishes fast; if that is not it, the clock was set.
      const isFast = entry.due - monotonic > aheadMs / 2;
      if (isFast || next - now <= aheadMs) {
        this.counts.risen += 1;
        entry.last = next;
        entry.due = Math.max(entry.due, monotonic) + 1;
        return;
      }
      this.counts.anew += 1;
    }
    entry.last = now;
    entry.due = monotonic;
  }

  private entryOf(key: string, now: number): Entry {
    const known = this.sensors.get(key);
    if (known) {
      this.sensors.delete(key);
      this.sensors.set(key, known);
      return known;
    }
    if (this.sensors.size >= this.options.limits.receiptSensors && !this.forgetOne(now)) {
      this.counts.shared += 1;
      return this.shared;
    }
    // It may have had receipts of the shared row: its own go on behind them.
    const entry = { ...this.shared };
    this.sensors.set(key, entry);
    return entry;
  }

  private forgetOne(now: number): boolean {
    let looked = 0;
    for (const [key, { last }] of this.sensors) {
      if (last < now) return this.sensors.delete(key);
      looked += 1;
      if (looked === LOOKED_AT) break;
    }
    return false;
  }

  private sayAhead(farm: string, sensor: string, monotonic: number): void {
    if (monotonic - this.saidAt < SAY_AGAIN_MS) return;
    this.saidAt = monotonic;
    this.options.log.warn(
      { event: 'receipts_ahead', farm, sensor },
      'the sensor publishes more than one message a millisecond: further ones are held',
    );
  }
}
