import type { Bucket } from '../../client/series.ts';

/** Columns for drawing: equally long, `null` where the line must break. */
export interface Columns {
  readonly ts: number[];
  readonly min: (number | null)[];
  readonly max: (number | null)[];
  readonly mean: (number | null)[];
  /** Places of values with a break on both sides: no line goes through them, so they need a dot. */
  readonly alone: number[];
  /** Places of buckets into which something arrived long after they were over, with when the last of it did, Unix ms. */
  readonly late: Map<number, number>;
}

/**
 * The columns to draw, each value as `shown` makes it. There is a hole where buckets are further apart than three
 * widths, three of the sensor's intervals, and three of the steps around it: a sensor may once have reported at another
 * interval than it is registered with now.
 */
export function columnsOf(
  buckets: readonly Readonly<Bucket>[],
  bucketMs: number,
  intervalMs: number,
  shown: (value: number) => number = (value) => value,
): Columns {
  const hole = 3 * Math.max(bucketMs, intervalMs);
  const isHole = (i: number) => stepTo(buckets, i) > hole && stepTo(buckets, i) > 3 * rhythmAt(buckets, i);
  const columns: Columns = { ts: [], min: [], max: [], mean: [], alone: [], late: new Map() };
  for (const [i, b] of buckets.entries()) {
    const previous = buckets[i - 1];
    const next = buckets[i + 1];
    const gapBefore = previous === undefined || isHole(i);
    const gapAfter = next === undefined || isHole(i + 1);
    if (previous && gapBefore) push(columns, previous.ts + bucketMs, null, null, null);
    if (gapBefore && gapAfter) columns.alone.push(columns.ts.length);
    if (b.lateAt !== undefined) columns.late.set(columns.ts.length, b.lateAt);
    push(columns, b.ts, shown(b.min), shown(b.max), shown(b.mean));
  }
  return columns;
}

function stepTo(buckets: readonly Readonly<Bucket>[], i: number): number {
  return (buckets[i]?.ts ?? Number.NaN) - (buckets[i - 1]?.ts ?? Number.NaN);
}

/** The usual step around bucket `i` (the median of nine), or 0 where there are too few buckets to know it. */
function rhythmAt(buckets: readonly Readonly<Bucket>[], i: number): number {
  const steps: number[] = [];
  for (let at = Math.max(1, i - 4); at <= Math.min(buckets.length - 1, i + 4); at++) steps.push(stepTo(buckets, at));
  if (steps.length < 5) return 0;
  return steps.sort((a, b) => a - b)[(steps.length - 1) >> 1] ?? 0;
}

function push(columns: Columns, ts: number, min: number | null, max: number | null, mean: number | null): void {
  columns.ts.push(ts);
  columns.min.push(min);
  columns.max.push(max);
  columns.mean.push(mean);
}

/** The place of the value at or nearest to `ts`, or undefined when there is none. */
export function placeAt({ ts: times, mean }: Columns, ts: number): number | undefined {
  let low = 0;
  let high = times.length - 1;
  while (low < high) {
    const middle = (low + high) >> 1;
    if ((times[middle] ?? 0) < ts) low = middle + 1;
    else high = middle;
  }
  const near = [low - 1, low, low + 1].filter((i) => typeof mean[i] === 'number');
  const distance = (i: number) => Math.abs((times[i] ?? Number.POSITIVE_INFINITY) - ts);
  return near.sort((a, b) => distance(a) - distance(b))[0];
}
