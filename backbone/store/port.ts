import type { ConnectionState } from '../../core/lifecycle.ts';
import type { Reading } from '../../telemetry/reading.ts';

/** One metric's newest value of one sensor, by time of measurement. Times are Unix ms. */
export interface LatestValue {
  readonly sensor: string;
  readonly metric: string;
  readonly ts: number;
  readonly value: number;
  readonly received: number;
}

/**
 * The width of buckets: a fixed number of ms below a day, aligned to Unix time 0,
 * or calendar days of an IANA time zone, which begin at local midnight and last 23, 24 or 25 hours.
 */
export type BucketWidth = { readonly ms: number } | { readonly daysIn: string };

export interface HistoryQuery {
  readonly farm: string;
  /** The sensors whose values are taken together. */
  readonly sensors: readonly string[];
  readonly metric: string;
  /** Unix ms; values with from <= ts < to are taken. */
  readonly from: number;
  readonly to: number;
  readonly bucket: BucketWidth;
}

/**
 * What fell into one bucket. `ts` is the bucket's begin, Unix ms; `last` is the value measured last; `received` is when the broker took the one
 * that came last, Unix ms (InfluxDB counts the sensors' other metrics in). Empty buckets are left out.
 */
export interface Bucket {
  readonly ts: number;
  readonly last: number;
  readonly min: number;
  readonly max: number;
  readonly mean: number;
  readonly count: number;
  readonly received: number;
}

export interface ExportQuery {
  readonly farm: string;
  readonly sensors: readonly string[];
  /** Absent: every metric. */
  readonly metrics?: readonly string[];
  /** Unix ms; values with from <= ts < to are taken. */
  readonly from: number;
  readonly to: number;
}

/** Time series of readings. Reads are right whether or not readings were written twice or out of order. */
export interface Store {
  /**
   * Resolves when all are on disk. Idempotent: a value's identity is (farm, sensor, metric, ts), and the latest write wins.
   * Rejects with StoreUnavailable (perhaps some were kept: write them all again) or StoreRejected (never will be).
   */
  write(readings: readonly Reading[]): Promise<void>;
  /** The newest value of every metric of every sensor of a farm. Rejects with StoreUnavailable. */
  latest(farm: string): Promise<LatestValue[]>;
  /** Buckets in order of time. Rejects with StoreUnavailable; with `signal`'s reason when that is aborted, which ends the query. */
  history(query: HistoryQuery, signal?: AbortSignal): Promise<Bucket[]>;
  /**
   * Values in order of time, read from the store bit by bit as the caller takes them.
   * Leaving the loop early ends the query, and so does `signal`, while the store is still working at it too. Throws StoreUnavailable, or the signal's reason.
   */
  export(query: ExportQuery, signal?: AbortSignal): AsyncIterable<LatestValue>;
  readonly state: ConnectionState;
  watch(listener: (state: ConnectionState) => void): () => void;
  /** Waits for writes under way, lets go of files and connections. Closing twice is allowed; any other use after it rejects with Closed. */
  close(): Promise<void>;
}
