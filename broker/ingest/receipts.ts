import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { BrokerLimits } from '../limits.ts';

export type ReceiptLimits = Pick<BrokerLimits, 'receiptSensors' | 'aheadMs'>;

export interface ReceiptsOptions {
  readonly limits: ReceiptLimits;
  readonly log: Logger;
  /** Where it counts what happens at its limits. Absent: nowhere. */
  readonly metrics?: Metrics | undefined;
  /** The wall clock and the monotonic clock, ms. */
  readonly clocks?: { readonly wall: () => number; readonly monotonic: () => number };
}

/** What is remembered of a sensor. */
interface SensorReceipt {
  farm: string;
  sensor: string;
  /** The last receipt, Unix ms. */
  last: number;
  /** Monotonic ms at which the wall clock reaches `last`, unless it is set; −∞ when it has reached it. */
  due: number;
}

const CLOCKS = { wall: () => Date.now(), monotonic: () => performance.now() };
/** At the limit, at most so many sensors are checked to find one to forget. The next search goes on behind them. */
const LOOKED_AT = 100;
const SAY_AGAIN_MS = 60_000;

/**
 * Gives every publish the time of its receipt, Unix ms. It is the time of a reading that has none of its own. No two
 * publishes of a sensor get the same receipt, or one reading would overwrite the other. So a receipt is the clock's
 * time, or the last receipt + 1 ms.
 *
 * When a sensor publishes more than once a millisecond, its receipts run ahead of the clock, up to `aheadMs`. At that
 * limit its publishes are held without acknowledgement, and one is let go each millisecond.
 *
 * When the clock is set back by up to `aheadMs`, receipts go on rising. When it is set back further, they begin anew
 * from the clock's time, because dates that are hours wrong would be worse. Then a receipt that was given before may be
 * given again.
 *
 * Up to `receiptSensors` sensors are remembered. A sensor whose last receipt the clock has passed can be forgotten
 * without harm, to make room for another. While none is found, further sensors share one sequence of receipts, which
 * are distinct too.
 *
 * This runs for every publish, so a sensor is found by two lookups of existing texts. Joining them into one key, and
 * keeping the sensors in the order of their last use, took five times as long as all the rest.
 */
export class Receipts {
  private readonly options: ReceiptsOptions;
  private readonly clocks: NonNullable<ReceiptsOptions['clocks']>;
  private readonly farms = new Map<string, Map<string, SensorReceipt>>();
  /** All sensors in `farms`. `hand` is the place where the next search for one to forget begins. */
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

  /** Calls `go` with the receipt of a publish: at once, or when the sensor is at most `aheadMs` ahead of the clock. */
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

  /** For a last receipt that the clock has not passed: adds 1 ms, or begins anew when the clock was set back too far. */
  private moveOn(entry: SensorReceipt, now: number, monotonic: number): void {
    const { aheadMs } = this.options.limits;
    // Only fast publishing moves `due` ahead. If `due` is not far ahead but `last` is, the clock was set back.
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
    // The sensor may have shared receipts before, or may have been forgotten. Its own receipts begin behind those.
    const entry = { ...this.shared, farm, sensor };
    this.entries[place] = entry;
    const sensors = this.farms.get(farm) ?? new Map<string, SensorReceipt>();
    this.farms.set(farm, sensors.set(sensor, entry));
    return entry;
  }

  /** Forgets one sensor and returns its place in `entries`; undefined when none can be forgotten. */
  private forgetOne(now: number): number | undefined {
    for (let looked = 0; looked < Math.min(LOOKED_AT, this.entries.length); looked += 1) {
      const place = this.hand;
      this.hand = (place + 1) % this.entries.length;
      const entry = this.entries[place];
      if (!entry || entry.last >= now) continue;
      const sensors = this.farms.get(entry.farm);
      sensors?.delete(entry.sensor);
      if (sensors?.size === 0) this.farms.delete(entry.farm);
      // If the clock is set back a little and this sensor publishes again, its receipts begin behind this last one.
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
