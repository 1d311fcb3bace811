import { clock } from '../../../core/clock.ts';
import { isOfNow } from '../../../telemetry/clock.ts';
import { msOf } from '../../../telemetry/instant.ts';
import type { Reading } from '../../../telemetry/reading.ts';
import { ClockSamples, sampleOf } from './clock-samples.ts';
import { clockSkew } from './sensor-status.ts';

/** One metric's newest value. `ts` is an instant; `received` is Unix ms, of a live value with the count of its receipt. */
export interface NewestValue {
  readonly ts: number;
  readonly value: number;
  readonly received: number;
}

export interface SensorLatest {
  /**
   * When the last reading was received, whole Unix ms, whenever it was measured. Undefined when the clock of then was
   * ahead and nothing came since: then it is not known.
   */
  lastSeen: number | undefined;
  /** The error of the sensor's clock, ms, by the reading received last that shows it; and when that was received, an instant. */
  skewMs: number;
  skewAt: number;
  /** What its live readings said of its clock; absent as long as none did. */
  clock?: ClockSamples;
  readonly values: Map<string, NewestValue>;
}

const NO_VALUES: ReadonlyMap<string, NewestValue> = new Map();

/** How many values may be held in memory, over all farms. */
export interface ValueBudget {
  left: number;
}

/**
 * The newest value of every sensor and metric of one farm, from the store and the live log, in whatever order they
 * came. The later `ts` wins, and of two with the same `ts` the one received later. A backfill never replaces a newer
 * value. A value of a time to come was dated by a clock that was wrong then: any other is newer, and it is not shown.
 */
export class FarmLatest {
  readonly sensors = new Map<string, SensorLatest>();
  private readonly budget: ValueBudget;
  private readonly now: () => number;
  private held = 0;
  private refused = 0;

  /** `now`: Unix ms. */
  constructor(budget: ValueBudget, now: () => number = clock.now) {
    this.budget = budget;
    this.now = now;
  }

  /** How many values were left out because the budget was spent. */
  get leftOut(): number {
    return this.refused;
  }

  take(reading: Reading): void {
    const { values } = reading;
    for (const metric in values) {
      const value = values[metric];
      if (value !== undefined) this.put(reading, metric, value);
    }
    const sample = sampleOf(reading);
    const known = sample && this.sensors.get(reading.sensor);
    // Receipts of a clock that was ahead would stay the newest samples for as long as it was ahead.
    if (!known || !isOfNow(sample.at, this.now())) return;
    known.clock ??= new ClockSamples();
    known.clock.add(sample);
  }

  /** Takes a value in. When the budget is spent, a metric that is not in memory yet is left out, and this returns false. */
  put(of: Omit<Reading, 'farm' | 'values'>, metric: string, value: number): boolean {
    const { ts, received } = of;
    const newest = this.sensors.get(of.sensor)?.values.get(metric);
    if (newest === undefined && this.budget.left <= 0) {
      this.refused++;
      return false;
    }
    const known = this.seen(of);
    if (newest === undefined) {
      this.budget.left--;
      this.held++;
    } else if (!this.isNewer(of, newest)) return true;
    known.values.set(metric, { ts, value, received });
    return true;
  }

  /** Whether a reading is to be shown as it comes: one of a time to come would stay the newest on screen. */
  shows({ ts }: Pick<Reading, 'ts'>): boolean {
    return isOfNow(ts, this.now());
  }

  /** The values of a sensor that count for now. */
  valuesNow(sensor: string): ReadonlyMap<string, NewestValue> {
    const values = this.sensors.get(sensor)?.values ?? NO_VALUES;
    const now = this.now();
    for (const { ts } of values.values())
      if (!isOfNow(ts, now)) return new Map([...values].filter(([, value]) => isOfNow(value.ts, now)));
    return values;
  }

  /** Gives back what it holds of the budget. Not to be used afterwards. */
  release(): void {
    this.budget.left += this.held;
    this.held = 0;
    this.sensors.clear();
  }

  private isNewer({ ts, received }: Pick<Reading, 'ts' | 'received'>, newest: NewestValue): boolean {
    const counts = isOfNow(ts, this.now());
    if (counts !== isOfNow(newest.ts, this.now())) return counts;
    return ts > newest.ts || (ts === newest.ts && received >= newest.received);
  }

  private seen(of: Omit<Reading, 'farm' | 'values'>): SensorLatest {
    const { sensor, received } = of;
    const skewMs = clockSkew(of);
    let known = this.sensors.get(sensor);
    if (!known) {
      known = { lastSeen: undefined, skewMs: 0, skewAt: 0, values: new Map() };
      this.sensors.set(sensor, known);
    }
    // The clock that received it was ahead: the sensor would be online for as long as it was.
    if (!isOfNow(received, this.now())) return known;
    known.lastSeen = Math.max(known.lastSeen ?? 0, msOf(received));
    // When several readings came at once, the sensor had kept the older ones back; the newest shows its clock.
    if (skewMs !== undefined && (received > known.skewAt || (received === known.skewAt && skewMs > known.skewMs))) {
      known.skewMs = skewMs;
      known.skewAt = received;
    }
    return known;
  }
}
