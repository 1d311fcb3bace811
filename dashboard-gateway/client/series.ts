/**
 * `[ts, last, min, max, mean, count]`: what fell into the time from `ts` (Unix ms) until the next bucket. Where a value of it was received more than
 * 15 minutes after the bucket was over, `received` says when the last one was (Unix ms).
 */
export type HistoryRow = readonly [
  ts: number,
  last: number,
  min: number,
  max: number,
  mean: number,
  count: number,
  received?: number | undefined,
];

/** A value that is received longer than this after its bucket was over was late: as the gateway has it in a history's rows. */
const LATE_AFTER_MS = 15 * 60_000;

export interface HistoryAnswer {
  /** Width of a bucket, ms; 0 stands for single values. */
  readonly bucketMs: number;
  readonly rows: readonly HistoryRow[];
}

export interface Bucket {
  readonly ts: number;
  last: number;
  /** When `last` was measured, as far as it is known. */
  lastTs: number;
  min: number;
  max: number;
  mean: number;
  count: number;
  /** When the last of the values that filled it in long after it was over was received, Unix ms; undefined where none did. */
  lateAt: number | undefined;
}

export interface LiveValue {
  readonly ts: number;
  readonly last: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly count: number;
}

/**
 * A metric over a range of time, in buckets of the history's width, in order of time.
 * Live values are folded into their bucket, also when they come late. At most `limit` buckets: the oldest go first.
 */
export class Series {
  readonly bucketMs: number;
  readonly #limit: number;
  #buckets: Bucket[];

  constructor({ bucketMs, rows }: HistoryAnswer, limit = 5000) {
    this.bucketMs = Math.max(1, bucketMs);
    this.#limit = limit;
    this.#buckets = rows.slice(-limit).map(bucketOf);
  }

  get length(): number {
    return this.#buckets.length;
  }

  /** In order of time. For reading only: folding changes them in place. */
  get buckets(): readonly Readonly<Bucket>[] {
    return this.#buckets;
  }

  /** Puts a value that was received at `received` (Unix ms; absent: as soon as it was measured) into its bucket and gives back that bucket's begin. */
  fold(value: LiveValue, received = value.ts): number {
    const before = this.#before(value.ts);
    const bucket = this.#buckets[before];
    if (bucket && value.ts < bucket.ts + this.bucketMs) {
      merge(bucket, value);
      bucket.lateAt = this.#lateAt(bucket.ts, received) ?? bucket.lateAt;
      return bucket.ts;
    }
    const ts = this.startOf(value.ts);
    const { last, min, max, mean, count } = value;
    const lateAt = this.#lateAt(ts, received);
    this.#buckets.splice(before + 1, 0, { ts, last, lastTs: value.ts, min, max, mean, count, lateAt });
    if (this.#buckets.length > this.#limit) this.#buckets.shift();
    return ts;
  }

  /** Where a bucket that holds `ts` begins. Buckets of days begin with the farm's days: their neighbours tell when that is. */
  startOf(ts: number): number {
    const before = this.#buckets[this.#before(ts)] ?? this.#buckets[0];
    const phase = before === undefined ? 0 : before.ts % this.bucketMs;
    return Math.floor((ts - phase) / this.bucketMs) * this.bucketMs + phase;
  }

  /** Takes `rows` for what lies in `from <= ts < to`, except for the buckets of `kept`. */
  replace(from: number, to: number, rows: readonly HistoryRow[], kept: ReadonlySet<number>): void {
    const stays = this.#buckets.filter((b) => b.ts < from || b.ts >= to || kept.has(b.ts));
    const comes = rows.filter(([ts]) => ts >= from && ts < to && !kept.has(ts)).map(bucketOf);
    this.#buckets = [...stays, ...comes].sort((a, b) => a.ts - b.ts).slice(-this.#limit);
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
    let { min, max } = newest;
    for (const b of this.#buckets) {
      if (b.min < min) min = b.min;
      if (b.max > max) max = b.max;
    }
    return { min, max, last: newest.last, lastTs: newest.lastTs };
  }

  #lateAt(ts: number, received: number): number | undefined {
    return received > ts + this.bucketMs + LATE_AFTER_MS ? received : undefined;
  }

  #before(ts: number): number {
    return this.#buckets.findLastIndex((b) => b.ts <= ts);
  }
}

function bucketOf([ts, last, min, max, mean, count, lateAt]: HistoryRow): Bucket {
  return { ts, last, lastTs: ts, min, max, mean, count, lateAt };
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
