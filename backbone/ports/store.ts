import type { ConnectionState } from '../../core/lifecycle.ts';
import type { Reading } from '../../telemetry/reading.ts';

/**
 * One value of one metric of one sensor. `ts`, when it was measured, is an instant (`telemetry/instant.ts`); `received`
 * is whole Unix ms.
 */
export interface LatestValue {
  readonly sensor: string;
  readonly metric: string;
  readonly ts: number;
  readonly value: number;
  readonly received: number;
}

/** The width of buckets: a fixed number of ms below a day, aligned to Unix time 0, or calendar days. */
export type BucketWidth = { readonly ms: number } | Days;

/**
 * `days` calendar days (1 unless told) of an IANA time zone, in groups of that many, counted from 1970-01-01: a day
 * begins at local midnight and lasts 23, 24 or 25 hours.
 */
export interface Days {
  readonly daysIn: string;
  readonly days?: number;
}

export interface HistoryQuery {
  readonly farm: string;
  /** The sensors whose values are taken together. */
  readonly sensors: readonly string[];
  readonly metric: string;
  /** Whole Unix ms; values with from <= ts < to are taken. */
  readonly from: number;
  readonly to: number;
  readonly bucket: BucketWidth;
  /**
   * For a field's value (`telemetry/field-value.ts`): how long, ms, the last value of each sensor stands for it in buckets
   * in which it measured nothing. Who is not in it says nothing there.
   */
  readonly held?: readonly HeldSensor[];
}

export type HeldSensor = readonly [sensor: string, ms: number];

/**
 * The values of all queried sensors in one bucket. Buckets without a value are left out, also where values are held. Two buckets cannot be joined into a
 * wider one: a bucket does not tell whose values its mean is of.
 */
export interface HistoryBucket {
  /** The bucket's begin, whole Unix ms. */
  readonly ts: number;
  /** The value measured last, whichever sensor measured it; of several of the same instant the greatest. */
  readonly last: number;
  /** The least and the greatest of all values. */
  readonly min: number;
  readonly max: number;
  /**
   * The mean of what the sensors say (`telemetry/field-value.ts`): each with a value in the bucket its own mean, however often
   * it measured, each other one its held value. Of directions it is on the circle.
   */
  readonly mean: number;
  /** How many values there are, of all sensors together. */
  readonly count: number;
  /** The latest receipt of the values, Unix ms (InfluxDB also counts receipts of the same sensors' other metrics). */
  readonly received: number;
}

export interface ExportQuery {
  readonly farm: string;
  readonly sensors: readonly string[];
  /** Absent: every metric. */
  readonly metrics?: readonly string[];
  /** Whole Unix ms; values with from <= ts < to are taken. */
  readonly from: number;
  readonly to: number;
}

export interface WriteOptions {
  /**
   * For readings that are not on the live log, such as an import's: the write resolves when they will be there after any end
   * of the store, also when only what it had at its newest checkpoint can be read. When it rejects, write all of them again.
   */
  readonly checkpointed?: boolean;
}

/** Time series of readings. Reads are right whether or not readings were written twice or out of order. */
export interface Store {
  /**
   * Resolves when all are on disk. Idempotent: a value's identity is (farm, sensor, metric, ts), where `ts` is an
   * instant, and the latest write wins. Two instants of one millisecond are two values. Of `received` the whole ms are
   * kept. Rejects with StoreUnavailable (some may have been kept: write all of them again), StoreRejected (the store
   * will never take some of them) or WriteRefused (it takes others, and does not say why it refuses these).
   */
  write(readings: readonly Reading[], options?: WriteOptions): Promise<void>;
  /**
   * Only of a store that takes checkpoints. Call it before readings are announced on the live log that are written beside
   * that, and the function that it returns when they are written, or are back in the queue and will be announced again. A
   * checkpoint taken meanwhile would otherwise stand behind an entry whose readings it does not have.
   */
  announcing?(): () => void;
  /**
   * The newest value of every metric of every sensor of a farm; one of a time to come (`isOfNow`) only where there is no
   * other. `sensors`, those that are known of it, help a store that has no list of
   * its own to know when all were found; it may then leave out others. Rejects with StoreUnavailable.
   */
  latest(farm: string, sensors?: readonly string[]): Promise<LatestValue[]>;
  /** Buckets in order of time. Rejects with StoreUnavailable, or, when `signal` ends the query, with its reason. */
  history(query: HistoryQuery, signal?: AbortSignal): Promise<HistoryBucket[]>;
  /**
   * Values in order of time, read from the store little by little as the caller takes them. Leaving the loop early ends
   * the query. So does aborting `signal`, also while the store is still working at the query. Throws StoreUnavailable,
   * or the signal's reason.
   */
  export(query: ExportQuery, signal?: AbortSignal): AsyncIterable<LatestValue>;
  readonly state: ConnectionState;
  watch(listener: (state: ConnectionState) => void): () => void;
  /** Waits for writes, releases files and connections. May be called twice; any other later use rejects with Closed. */
  close(): Promise<void>;
}
