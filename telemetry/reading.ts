/**
 * What one sensor measured at one moment: a value per metric. One point in the store.
 *
 * - `ts` is when it was measured, `received` when the broker took it; both are instants (`telemetry/instant.ts`). A reading
 *   without a time of its own has the receipt as its `ts`.
 * - `deviceTs` is what the device claimed, Unix ms, when the clock policy replaced it; absent when `ts` is the device's own claim.
 * - `backfill` marks a reading that was late when it came (`telemetry/backfill.ts`): it is stored, but is no news.
 * - `values` maps metric names (`METRIC_NAME`) to finite numbers; it is never empty.
 *
 * A value's identity is (farm, sensor, metric, ts), where two instants of one millisecond are two times: the same one written twice is one value, the latest write wins.
 */
export interface Reading {
  readonly farm: string;
  readonly sensor: string;
  readonly ts: number;
  readonly received: number;
  readonly deviceTs?: number;
  readonly backfill?: true;
  readonly values: Readonly<Record<string, number>>;
}

export const METRIC_NAME = /^[a-z][a-z0-9_]{0,63}$/;
/** Ids of farms, fields, sensors and users. */
export const ID = /^[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}$/;
/** Names that are tags or columns of the store, and so cannot be metrics. */
export const RESERVED_METRICS: ReadonlySet<string> = new Set(['farm', 'field', 'sensor', 'time', 'received']);
export const MAX_METRICS_PER_READING = 64;
/** Of all its readings: a sensor that keeps inventing names must not fill the store. */
export const MAX_METRICS_PER_SENSOR = 64;
/** The widest range of time a reading may claim: years 2000 to 2200, Unix ms. */
export const MIN_TS = Date.UTC(2000, 0, 1);
export const MAX_TS = Date.UTC(2200, 0, 1);
