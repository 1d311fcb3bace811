import type { Reading } from '../../telemetry/reading.ts';

type Values = Reading['values'];

/** The entry of the live log that a value came in: one object for each entry, whose `batch` is the id of its batch. */
export interface ValueSource {
  readonly batch: string;
}

/** Another value of the same farm, sensor, metric and time came before, in `source`. */
export interface EarlierValue {
  readonly metric: string;
  readonly old: number;
  readonly new: number;
  readonly source: ValueSource;
}

/** What is known under one time of one sensor. `sources` has those metrics that did not come in `source`. */
interface Remembered {
  readonly of: SensorTimes;
  readonly ts: number;
  readonly values: Values;
  readonly source: ValueSource;
  readonly sources: ReadonlyMap<string, ValueSource> | undefined;
}

interface SensorTimes {
  readonly farm: string;
  readonly sensor: string;
  readonly byTime: Map<number, Remembered>;
}

const NONE: readonly EarlierValue[] = [];

/**
 * The values of the latest readings, by farm, sensor and time, over all farms: of at most `limit` readings, and older
 * ones are forgotten. It finds a value that differs from the one that came before under the same time.
 *
 * Every reading passes here. So what is kept of one is the reading's own `values`, found by its sensor's map of times;
 * metrics are compared only when a time comes again.
 */
export class RecentValues {
  private readonly farms = new Map<string, Map<string, SensorTimes>>();
  /** What was remembered, at its number modulo `limit`: the next one takes the place of the oldest. */
  private readonly ring: Remembered[] = [];
  private readonly limit: number;
  private next = 0;

  constructor(limit: number) {
    this.limit = limit;
  }

  /** Remembers a reading, and answers which of its values differ from an earlier one. A batch that comes again has no news. */
  take({ farm, sensor, ts, values }: Reading, source: ValueSource): readonly EarlierValue[] {
    const of = this.timesOf(farm, sensor);
    const before = of.byTime.get(ts);
    if (before === undefined) {
      this.remember({ of, ts, values, source, sources: undefined });
      return NONE;
    }
    const earlier = differing(before, values, source);
    this.remember(joined(before, values, source));
    return earlier;
  }

  private timesOf(farm: string, sensor: string): SensorTimes {
    let sensors = this.farms.get(farm);
    if (sensors === undefined) {
      sensors = new Map();
      this.farms.set(farm, sensors);
    }
    let times = sensors.get(sensor);
    if (times === undefined) {
      times = { farm, sensor, byTime: new Map() };
      sensors.set(sensor, times);
    }
    return times;
  }

  private remember(fresh: Remembered): void {
    const oldest = this.ring[this.next];
    fresh.of.byTime.set(fresh.ts, fresh);
    this.ring[this.next] = fresh;
    this.next = (this.next + 1) % this.limit;
    if (oldest) this.forget(oldest);
  }

  private forget(oldest: Remembered): void {
    const { farm, sensor, byTime } = oldest.of;
    // A time that came again is remembered anew, and its first place in the ring means nothing any more.
    if (byTime.get(oldest.ts) === oldest) byTime.delete(oldest.ts);
    if (byTime.size > 0) return;
    const sensors = this.farms.get(farm);
    sensors?.delete(sensor);
    if (sensors?.size === 0) this.farms.delete(farm);
  }
}

function differing(before: Remembered, values: Values, source: ValueSource): readonly EarlierValue[] {
  const found: EarlierValue[] = [];
  for (const [metric, value] of Object.entries(values)) {
    const old = ownValue(before.values, metric);
    if (old === undefined || old === value) continue;
    const from = before.sources?.get(metric) ?? before.source;
    if (!isSameAgain(from, source)) found.push({ metric, old, new: value, source: from });
  }
  return found;
}

/**
 * Whether two entries of the log are of one batch, which was delivered twice. A batch that is tried again in parts has
 * its id and `#` at the beginning of the ids of the parts. Two readings in one entry are of two publishes.
 */
function isSameAgain(before: ValueSource, now: ValueSource): boolean {
  return before !== now && rootOf(before.batch) === rootOf(now.batch);
}

function rootOf(batch: string): string {
  const end = batch.indexOf('#');
  return end < 0 ? batch : batch.slice(0, end);
}

/** The later values over the earlier ones. A sensor has few metrics, so this stays small however often a time comes. */
function joined(before: Remembered, values: Values, source: ValueSource): Remembered {
  const { of, ts } = before;
  const others = Object.keys(before.values).filter((metric) => ownValue(values, metric) === undefined);
  if (others.length === 0) return { of, ts, values, source, sources: undefined };
  const sources = new Map(others.map((metric) => [metric, before.sources?.get(metric) ?? before.source]));
  return { of, ts, values: { ...before.values, ...values }, source, sources };
}

function ownValue(values: Values, metric: string): number | undefined {
  return Object.hasOwn(values, metric) ? values[metric] : undefined;
}
