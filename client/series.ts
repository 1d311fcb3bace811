/**
 * The values of one bucket, which begins at `ts` (Unix ms). With several sensors, `mean` is the mean of the sensors'
 * own means: each sensor with a value in the bucket counts once. If a value was received more than 15 minutes after the
 * end of the bucket, `received` is when the last such value was received (Unix ms).
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

/** A value is late when it is received this long after the end of its bucket. The gateway has the same limit. */
const LATE_AFTER_MS = 15 * 60_000;

export interface HistoryAnswer {
  /** Width of a bucket, ms; 0 stands for single values. */
  readonly bucketMs: number;
  readonly rows: readonly HistoryRow[];
}

export interface Bucket {
  readonly ts: number;
  last: number;
  /** When `last` was measured; in a bucket of the history, where this is not known, when the bucket begins. */
  lastTs: number;
  min: number;
  max: number;
  mean: number;
  count: number;
  /** When the last late value of the bucket was received, Unix ms; undefined when no value was late. */
  lateAt: number | undefined;
}

export interface LiveValue {
  /** The sensor of the value, in a series of several sensors. */
  readonly sensor?: string | undefined;
  readonly ts: number;
  readonly last: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly count: number;
}

/** What another sensor says in a bucket until it measures there. */
export interface HeldValue {
  readonly sensor: string;
  readonly value: number;
}

interface SensorMean {
  mean: number;
  count: number;
}

interface SeriesBucket extends Bucket {
  /** Each sensor's own mean, when only live values made the bucket. The history does not name its sensors. */
  parts: Map<string, SensorMean> | undefined;
  /** Whether `mean` leaves out live values, because the parts are not known. */
  behind: boolean;
}

/** Most parts kept in all buckets together. With more, the parts of the bucket that was begun first are dropped. */
const MAX_PARTS = 20_000;

/**
 * A metric over a range of time, in buckets of the history's width, in order of time.
 * Live values are folded into their bucket, also when they come late. With more than `limit` buckets the oldest are
 * dropped.
 */
export class Series {
  readonly bucketMs: number;
  readonly #limit: number;
  readonly #directions: boolean;
  #buckets: SeriesBucket[];
  /** Buckets with parts, in the order in which they were begun. */
  readonly #parted: SeriesBucket[] = [];
  #partCount = 0;

  /** Of `directions` only the gateway tells means: they are on the circle. */
  constructor({ bucketMs, rows }: HistoryAnswer, limit = 5000, directions = false) {
    this.bucketMs = Math.max(1, bucketMs);
    this.#limit = limit;
    this.#directions = directions;
    this.#buckets = rows.slice(-limit).map(bucketOf);
  }

  get length(): number {
    return this.#buckets.length;
  }

  /** In order of time. For reading only: folding changes them in place. */
  get buckets(): readonly Readonly<Bucket>[] {
    return this.#buckets;
  }

  /**
   * Puts a value into its bucket and returns when that bucket begins. `received` is when the value was received (Unix
   * ms); default: when it was measured.
   * If it is not known which sensors the bucket's other values are of, its mean stays as it is and `knowsMean` is
   * false. `heldAt` tells, for a bucket that begins, what other sensors say in it.
   */
  fold(value: LiveValue, received = value.ts, heldAt?: (begin: number) => Iterable<HeldValue>): number {
    const before = this.#before(value.ts);
    const bucket = this.#buckets[before];
    if (bucket && value.ts < bucket.ts + this.bucketMs) {
      merge(bucket, value);
      this.#mergeMean(bucket, value);
      bucket.lateAt = this.#lateAt(bucket.ts, received) ?? bucket.lateAt;
      return bucket.ts;
    }
    const ts = this.startOf(value.ts);
    const { last, min, max, mean, count } = value;
    const lateAt = this.#lateAt(ts, received);
    const fresh: SeriesBucket = {
      ts,
      last,
      lastTs: value.ts,
      min,
      max,
      mean,
      count,
      lateAt,
      parts: undefined,
      behind: this.#directions,
    };
    this.#buckets.splice(before + 1, 0, fresh);
    if (value.sensor !== undefined && !this.#directions) this.#beginParts(fresh, value.sensor, heldAt?.(ts) ?? []);
    if (this.#buckets.length > this.#limit) this.#buckets.shift();
    return ts;
  }

  /** Whether the mean of the bucket that begins at `ts` includes all values folded into it. If not, fetch it again. */
  knowsMean(ts: number): boolean {
    return this.#buckets[this.#before(ts)]?.behind !== true;
  }

  /** When the bucket that holds `ts` begins. Buckets of days begin at the farm's midnight, as their neighbours show. */
  startOf(ts: number): number {
    const before = this.#buckets[this.#before(ts)] ?? this.#buckets[0];
    const phase = before === undefined ? 0 : before.ts % this.bucketMs;
    return Math.floor((ts - phase) / this.bucketMs) * this.bucketMs + phase;
  }

  /** Replaces the buckets in `from <= ts < to` by `rows`. Buckets in `kept` take only a mean that is not known. */
  replace(from: number, to: number, rows: readonly HistoryRow[], kept: ReadonlySet<number>): void {
    const within = rows.filter(([ts]) => ts >= from && ts < to);
    const means = new Map(within.map(([ts, , , , mean]) => [ts, mean]));
    for (const b of this.#buckets) if (b.behind && kept.has(b.ts)) b.mean = means.get(b.ts) ?? b.mean;
    const stays = this.#buckets.filter((b) => b.ts < from || b.ts >= to || kept.has(b.ts));
    const comes = within.filter(([ts]) => !kept.has(ts)).map(bucketOf);
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

  #mergeMean(bucket: SeriesBucket, { sensor, mean, count }: LiveValue): void {
    if (this.#directions) {
      bucket.behind = true;
      return;
    }
    if (sensor === undefined) {
      bucket.mean += ((mean - bucket.mean) * count) / bucket.count;
      return;
    }
    if (bucket.parts === undefined) {
      bucket.behind = true;
      return;
    }
    const part = bucket.parts.get(sensor);
    if (part === undefined) {
      bucket.parts.set(sensor, { mean, count });
      bucket.mean += (mean - bucket.mean) / bucket.parts.size;
      this.#countPart();
      return;
    }
    const before = part.mean;
    part.count += count;
    part.mean += ((mean - before) * count) / part.count;
    bucket.mean += (part.mean - before) / bucket.parts.size;
  }

  #beginParts(bucket: SeriesBucket, sensor: string, held: Iterable<HeldValue>): void {
    const parts = new Map([[sensor, { mean: bucket.mean, count: bucket.count }]]);
    bucket.parts = parts;
    this.#parted.push(bucket);
    this.#countPart();
    for (const { sensor: other, value } of held) {
      // There may be more of them than parts are kept.
      if (bucket.parts === undefined) break;
      if (parts.has(other)) continue;
      // Of no values: its first one takes the place of the held one.
      parts.set(other, { mean: value, count: 0 });
      bucket.mean += (value - bucket.mean) / parts.size;
      this.#countPart();
    }
  }

  #countPart(): void {
    this.#partCount += 1;
    if (this.#partCount <= MAX_PARTS) return;
    const oldest = this.#parted.shift();
    if (oldest === undefined) return;
    this.#partCount -= oldest.parts?.size ?? 0;
    oldest.parts = undefined;
  }

  #lateAt(ts: number, received: number): number | undefined {
    return received > ts + this.bucketMs + LATE_AFTER_MS ? received : undefined;
  }

  #before(ts: number): number {
    return this.#buckets.findLastIndex((b) => b.ts <= ts);
  }
}

function bucketOf([ts, last, min, max, mean, count, lateAt]: HistoryRow): SeriesBucket {
  return { ts, last, lastTs: ts, min, max, mean, count, lateAt, parts: undefined, behind: false };
}

function merge(bucket: Bucket, value: LiveValue): void {
  bucket.count += value.count;
  bucket.min = Math.min(bucket.min, value.min);
  bucket.max = Math.max(bucket.max, value.max);
  if (value.ts < bucket.lastTs) return;
  bucket.last = value.last;
  bucket.lastTs = value.ts;
}
