import type { HistoryRow } from '../api/shapes.ts';

/** What fell into the time from `ts` (Unix ms) until the next bucket. */
interface Bucket {
  readonly ts: number;
  last: number;
  /** When `last` was measured, as far as it is known. */
  lastTs: number;
  min: number;
  max: number;
  mean: number;
  count: number;
}

export interface LiveValue {
  readonly ts: number;
  readonly last: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly count: number;
}

/** Columns for drawing: equally long, `null` where the line must break. */
export interface Columns {
  readonly ts: number[];
  readonly min: (number | null)[];
  readonly max: (number | null)[];
  readonly mean: (number | null)[];
  /** Places of values with a break on both sides: no line goes through them, so they need a dot. */
  readonly alone: number[];
}

/**
 * One sensor's metric over a range of time, in buckets of the history's width, in order of time.
 * Live values are folded into their bucket, also when they come late. At most `limit` buckets: the oldest go first.
 */
export class Series {
  readonly bucketMs: number;
  readonly #limit: number;
  #buckets: Bucket[];

  /** `bucketMs` of 0 stands for single values. */
  constructor(bucketMs: number, rows: readonly HistoryRow[], limit = 5000) {
    this.bucketMs = Math.max(1, bucketMs);
    this.#limit = limit;
    this.#buckets = rows
      .slice(-limit)
      .map(([ts, last, min, max, mean, count]) => ({ ts, last, lastTs: ts, min, max, mean, count }));
  }

  get length(): number {
    return this.#buckets.length;
  }

  fold(value: LiveValue): void {
    const ts = Math.floor(value.ts / this.bucketMs) * this.bucketMs;
    const before = this.#buckets.findLastIndex((b) => b.ts <= ts);
    const bucket = this.#buckets[before];
    if (bucket?.ts === ts) {
      merge(bucket, value);
      return;
    }
    const { last, min, max, mean, count } = value;
    this.#buckets.splice(before + 1, 0, { ts, last, lastTs: value.ts, min, max, mean, count });
    if (this.#buckets.length > this.#limit) this.#buckets.shift();
  }

  /** Forgets the buckets that ended before `from`. */
  trim(from: number): void {
    const first = this.#buckets.findIndex((b) => b.ts + this.bucketMs > from);
    if (first !== 0) this.#buckets.splice(0, first < 0 ? this.#buckets.length : first);
  }

  /** The lowest, the highest and the newest value, or undefined when there is none. */
  extent(): { min: number; max: number; last: number; lastTs: number } | undefined {
    const newest = this.#buckets.at(-1);
    if (newest === undefined) return undefined;
    const min = this.#buckets.reduce((low, b) => Math.min(low, b.min), newest.min);
    const max = this.#buckets.reduce((high, b) => Math.max(high, b.max), newest.max);
    return { min, max, last: newest.last, lastTs: newest.lastTs };
  }

  /**
   * The columns to draw. There is a hole where buckets are further apart than three widths, three of the sensor's intervals,
   * and three of the steps around it: a sensor may once have reported at another rhythm than it is registered with now.
   */
  columns(intervalMs: number): Columns {
    const hole = 3 * Math.max(this.bucketMs, intervalMs);
    const isHole = (i: number) => this.#stepTo(i) > hole && this.#stepTo(i) > 3 * this.#rhythmAt(i);
    const columns: Columns = { ts: [], min: [], max: [], mean: [], alone: [] };
    for (const [i, b] of this.#buckets.entries()) {
      const previous = this.#buckets[i - 1];
      const next = this.#buckets[i + 1];
      const gapBefore = previous === undefined || isHole(i);
      const gapAfter = next === undefined || isHole(i + 1);
      if (previous && gapBefore) push(columns, previous.ts + this.bucketMs, null, null, null);
      if (gapBefore && gapAfter) columns.alone.push(columns.ts.length);
      push(columns, b.ts, b.min, b.max, b.mean);
    }
    return columns;
  }

  #stepTo(i: number): number {
    return (this.#buckets[i]?.ts ?? Number.NaN) - (this.#buckets[i - 1]?.ts ?? Number.NaN);
  }

  /** The usual step around bucket `i` (the median of nine), or 0 where there are too few to call it usual. */
  #rhythmAt(i: number): number {
    const steps: number[] = [];
    for (let at = Math.max(1, i - 4); at <= Math.min(this.#buckets.length - 1, i + 4); at++)
      steps.push(this.#stepTo(at));
    if (steps.length < 5) return 0;
    return steps.sort((a, b) => a - b)[(steps.length - 1) >> 1] ?? 0;
  }
}

function merge(bucket: Bucket, value: LiveValue): void {
  const count = bucket.count + value.count;
  bucket.mean += ((value.mean - bucket.mean) * value.count) / count;
  bucket.count = count;
  bucket.min = Math.min(bucket.min, value.min);
  bucket.max = Math.max(bucket.max, value.max);
  if (value.ts < bucket.lastTs) return;
  bucket.last = value.last;
  bucket.lastTs = value.ts;
}

function push(columns: Columns, ts: number, min: number | null, max: number | null, mean: number | null): void {
  columns.ts.push(ts);
  columns.min.push(min);
  columns.max.push(max);
  columns.mean.push(mean);
}
