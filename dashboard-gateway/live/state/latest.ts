import { clock } from '../../../core/clock.ts';
import { MAX_AHEAD_MS } from '../../../telemetry/clock.ts';
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
  /** When the last reading was received, whole Unix ms, whenever it was measured. */
  lastSeen: number;
  /** The error of the sensor's clock, ms, by the reading received last that shows it; and when that was received, an instant. */
  skewMs: number;
  skewAt: number;
  /** What its live readings said of its clock; absent as long as none did. */
  clock?: ClockSamples;
  readonly values: Map<string, NewestValue>;
}

/** How many values may be held in memory, over all farms. */
export interface ValueBudget {
  left: number;
}

/**
 * The newest value of every sensor and metric of one farm, from the store and the live log, in whatever order they
 * came. The later `ts` wins, and of two with the same `ts` the one received later. A backfill never replaces a newer
 * value. A value from the future was dated by a clock that was wrong then: any other is newer.
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
    if (!known) return;
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

  /** Gives back what it holds of the budget. Not to be used afterwards. */
  release(): void {
    this.budget.left += this.held;
    this.held = 0;
    this.sensors.clear();
  }

  private isNewer({ ts, received }: Pick<Reading, 'ts' | 'received'>, newest: NewestValue): boolean {
    const latest = this.now() + MAX_AHEAD_MS;
    if (ts > latest !== newest.ts > latest) return ts <= latest;
    return ts > newest.ts || (ts === newest.ts && received >= newest.received);
  }

  private seen(of: Omit<Reading, 'farm' | 'values'>): SensorLatest {
    const { sensor, received } = of;
    const skewMs = clockSkew(of);
    let known = this.sensors.get(sensor);
    if (!known) {
      known = { lastSeen: msOf(received), skewMs: 0, skewAt: 0, values: new Map() };
      this.sensors.set(sensor, known);
    }
    known.lastSeen = Math.max(known.lastSeen, msOf(received));
    // When several readings came at once, the sensor had kept the older ones back; the newest shows its clock.
    if (skewMs !== undefined && (received > known.skewAt || (received === known.skewAt && skewMs > known.skewMs))) {
      known.skewMs = skewMs;
      known.skewAt = received;
    }
    return known;
  }
}
