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

/** What is remembered of a sensor. */
interface SensorReceipt {
  farm: string;
  sensor: string;
  /** The last receipt, Unix ms. */
  last: number;
  /** When a clock that nobody sets will have come to it, monotonic ms; −∞: it has. */
  due: number;
}

const CLOCKS = { wall: () => Date.now(), monotonic: () => performance.now() };
/** At the bound, so many sensors are looked at for one that can be forgotten; the next time, those behind them. */
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
 * Remembered are `receiptSensors` sensors. One that the clock has passed can be forgotten at no loss, and makes place for another; while none
 * can be, further sensors share one row of receipts, which are distinct as well.
 *
 * This is asked for every publish, so a sensor is found by two lookups of texts that exist already: joining them into one key, and keeping
 * the sensors in the order of their last use, took five times as long as the rest.
 */
export class Receipts {
  private readonly options: ReceiptsOptions;
  private readonly clocks: NonNullable<ReceiptsOptions['clocks']>;
  private readonly farms = new Map<string, Map<string, SensorReceipt>>();
  /** All that are in `farms`, and the place of the next one to look at when one is to be forgotten. */
  private readonly entries: SensorReceipt[] = [];
  private hand = 0;
  private readonly shared = newEntry('', '');
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
    const entry = this.farms.get(farm)?.get(sensor) ?? this.remember(farm, sensor, now);
    if (entry.last < now) {
      beginAt(entry, now);
      go(now);
      return;
    }
    const monotonic = this.clocks.monotonic();
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

  /** The clock has not come to the next receipt. */
  private moveOn(entry: SensorReceipt, now: number, monotonic: number): void {
    const { aheadMs } = this.options.limits;
    // A sensor can be so far ahead because it publishes fast; if that is not it, the clock was set.
    const isFast = entry.due - monotonic > aheadMs / 2;
    if (isFast || entry.last + 1 - now <= aheadMs) {
      this.counts.risen += 1;
      entry.last += 1;
      entry.due = Math.max(entry.due, monotonic) + 1;
      return;
    }
    this.counts.anew += 1;
    beginAt(entry, now);
  }

  private remember(farm: string, sensor: string, now: number): SensorReceipt {
    const place = this.entries.length < this.options.limits.receiptSensors ? this.entries.length : this.forgetOne(now);
    if (place === undefined) {
      this.counts.shared += 1;
      return this.shared;
    }
    // It may have had receipts of the shared row, or have been forgotten: its own go on behind them.
    const entry = { ...this.shared, farm, sensor };
    this.entries[place] = entry;
    const sensors = this.farms.get(farm) ?? new Map<string, SensorReceipt>();
    this.farms.set(farm, sensors.set(sensor, entry));
    return entry;
  }

  /** The place in `entries` that is free now. */
  private forgetOne(now: number): number | undefined {
    for (let looked = 0; looked < Math.min(LOOKED_AT, this.entries.length); looked += 1) {
      const place = this.hand;
      this.hand = (place + 1) % this.entries.length;
      const entry = this.entries[place];
      if (!entry || entry.last >= now) continue;
      const sensors = this.farms.get(entry.farm);
      sensors?.delete(entry.sensor);
      if (sensors?.size === 0) this.farms.delete(entry.farm);
      // When the clock is set back a little and it comes again, its receipts still go on behind this one.
      this.shared.last = Math.max(this.shared.last, entry.last);
      return place;
    }
    return undefined;
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

function newEntry(farm: string, sensor: string): SensorReceipt {
  return { farm, sensor, last: Number.NEGATIVE_INFINITY, due: Number.NEGATIVE_INFINITY };
}

function beginAt(entry: SensorReceipt, now: number): void {
  entry.last = now;
  entry.due = Number.NEGATIVE_INFINITY;
}
