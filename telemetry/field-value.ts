/**
 * The value of a field, by one definition for everybody who shows or judges one.
 *
 * In a bucket a sensor says the mean of its readings. With none it says its last value, as long as that is young: else a
 * field's line would jump whenever a sensor that reports seldom comes and goes. The field's value is the mean of what its
 * sensors say, however often each of them measures. A wider bucket's value is therefore not the mean of narrower ones'.
 */

/** A last value stands for its sensor until it is so many of the sensor's intervals old. */
export const HELD_INTERVALS = 2.5;
/** The interval of a sensor that nobody told, ms: at least this. */
export const LEAST_INTERVAL_MS = 600_000;
/** From so many of its newest readings the interval of a sensor is found that nobody told. */
export const INTERVAL_READINGS = 20;

/** How values of a metric are joined: a direction has no lowest or highest, so its mean is taken on the circle. */
export type MeanKind = 'plain' | 'circle';

const DIRECTION = /^wind_direction(_\d+[a-z]*)?$/;
const HUGE = 2 ** 30;
const DEGREE = Math.PI / 180;

/** How the values of a metric are joined, by its name; a height may follow it, as in `wind_direction_10m`. */
export function meanKindOf(metric: string): MeanKind {
  return DIRECTION.test(metric) ? 'circle' : 'plain';
}

/**
 * The mean of finite values, undefined of none. Directions are in degrees, their mean is from 0 up to 360; of directions
 * that cancel each other it is any.
 */
export function meanOf(values: readonly number[], kind: MeanKind): number | undefined {
  if (values.length === 0) return undefined;
  if (kind === 'circle') return onCircle(values);
  const sum = values.reduce((total, value) => total + value, 0);
  if (Number.isFinite(sum)) return sum / values.length;
  return (values.reduce((total, value) => total + value / HUGE, 0) / values.length) * HUGE;
}

/**
 * A sensor's interval, ms: the registry's (seconds) where it has one, else the median gap between the newest of `times`
 * (instants or ms, in order of time), and then at least `LEAST_INTERVAL_MS`.
 */
export function intervalOf(registered: number | undefined, times: readonly number[]): number {
  if (registered !== undefined) return registered * 1000;
  const newest = times.slice(-INTERVAL_READINGS);
  const gaps = newest.slice(1).map((ts, i) => ts - (newest[i] ?? ts));
  return Math.max(LEAST_INTERVAL_MS, medianOf(gaps));
}

/** How long the last value of a sensor with this interval stands for it, ms. */
export function heldFor(intervalMs: number): number {
  return HELD_INTERVALS * intervalMs;
}

/** Whether a value measured at `ts` still stands for its sensor at `at`, with no newer one; all ms. */
export function isHeld(ts: number, at: number, heldMs: number): boolean {
  return at - ts < heldMs;
}

export interface MeasuredValue {
  /** An instant, or ms. */
  readonly ts: number;
  readonly value: number;
}

/** What a sensor measured within one bucket: the mean of its readings there, and the last of them. */
export interface SensorBucket {
  /** The bucket's begin, ms. */
  readonly begin: number;
  readonly mean: number;
  readonly last: MeasuredValue;
}

/** One metric of one sensor of a field. */
export interface FieldMember {
  /** How long its last value stands for it, ms (`heldFor`). */
  readonly heldMs: number;
  /** Its last value before the first bucket. */
  readonly before?: MeasuredValue | undefined;
  /** In order of time; none where it measured nothing. */
  readonly buckets: readonly SensorBucket[];
}

/**
 * The field's value in each of the buckets that begin at `begins` (ms, in order of time), undefined where no sensor says
 * anything. Every bucket of a member begins at one of `begins`. Takes time and memory for members × begins.
 */
export function fieldValues(
  begins: readonly number[],
  members: readonly FieldMember[],
  kind: MeanKind,
): (number | undefined)[] {
  const said: number[][] = begins.map(() => []);
  for (const { heldMs, before, buckets } of members) {
    let last = before;
    let next = 0;
    for (const [place, begin] of begins.entries()) {
      const bucket = buckets[next];
      if (bucket?.begin === begin) {
        said[place]?.push(bucket.mean);
        last = bucket.last;
        next += 1;
      } else if (last !== undefined && isHeld(last.ts, begin, heldMs)) said[place]?.push(last.value);
    }
  }
  return said.map((values) => meanOf(values, kind));
}

/** The field's value at one moment, `at` (ms), by the newest value of each sensor until then; undefined where none is held. */
export function fieldValueAt(
  at: number,
  newest: readonly { readonly measured: MeasuredValue; readonly heldMs: number }[],
  kind: MeanKind,
): number | undefined {
  const members = newest.map(({ measured, heldMs }) => ({ heldMs, before: measured, buckets: [] }));
  return fieldValues([at], members, kind)[0];
}

function onCircle(degrees: readonly number[]): number {
  let [east, north] = [0, 0];
  for (const degree of degrees) {
    east += Math.sin(degree * DEGREE);
    north += Math.cos(degree * DEGREE);
  }
  return directionOf(east, north);
}

/** The direction of a vector, in degrees from 0 up to 360. */
export function directionOf(east: number, north: number): number {
  const mean = Math.atan2(east, north) / DEGREE;
  // A tiny negative angle plus 360 is 360 itself.
  return mean < 0 ? (mean + 360) % 360 : mean;
}

function medianOf(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  const upper = sorted[middle] ?? 0;
  return sorted.length % 2 === 1 ? upper : ((sorted[middle - 1] ?? upper) + upper) / 2;
}
