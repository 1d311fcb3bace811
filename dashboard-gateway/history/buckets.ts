import type { BucketWidth, Days, HistoryBucket } from '../../backbone/ports/store.ts';
import { isLate } from '../../telemetry/backfill.ts';
import { dayNumber, dayStart } from '../../telemetry/calendar.ts';

const SECOND = 1000;
const MINUTE = 60 * SECOND;
const HOUR = 60 * MINUTE;
const DAY = 24 * HOUR;

const SECONDS = [1, 2, 5, 10, 15, 30].map((n) => n * SECOND);
const MINUTES = [1, 2, 5, 10, 15, 30].map((n) => n * MINUTE);
const HOURS = [1, 2, 3, 4, 6, 12].map((n) => n * HOUR);
/** Widths of less than a day, narrowest first, ms. */
export const ROUND_WIDTHS: readonly number[] = [...SECONDS, ...MINUTES, ...HOURS];

/** How a range of time is divided into buckets. */
export interface HistoryCut {
  readonly bucket: BucketWidth;
  /** The bucket width that the answer shows, ms; a day counts as 24 hours. */
  readonly bucketMs: number;
}

/**
 * Chooses the narrowest round width that divides `from <= ts < to` (Unix ms) into at most `points` (at least 1)
 * buckets. From one day upwards, a bucket is one or more whole calendar days of `zone`. The store computes the buckets
 * of several days too: a field's mean over two days cannot be made from its means of each day.
 */
export function chooseCut(from: number, to: number, points: number, zone: string): HistoryCut {
  for (const ms of ROUND_WIDTHS) {
    if (Math.floor((to - 1) / ms) - Math.floor(from / ms) + 1 <= points) {
      return { bucket: { ms }, bucketMs: ms };
    }
  }
  const [first, last] = [dayNumber(from, zone), dayNumber(to - 1, zone)];
  let days = Math.ceil((last - first + 1) / points);
  // Groups of days are counted from 1970, so a range may touch one group more than its length suggests.
  while (Math.floor(last / days) - Math.floor(first / days) >= points) days += 1;
  return { bucket: { daysIn: zone, days }, bucketMs: days * DAY };
}

/** A bucket as a row of the answer. It has `received` only when its last value came long after the bucket's end (`isLate`). */
export type BucketRow =
  | readonly [ts: number, last: number, min: number, max: number, mean: number, count: number]
  | readonly [ts: number, last: number, min: number, max: number, mean: number, count: number, received: number];

export function toRow({ ts, last, min, max, mean, count, received }: HistoryBucket, cut: HistoryCut): BucketRow {
  const isFilledIn = isLate({ ts: endOf(ts, cut), received });
  return isFilledIn ? [ts, last, min, max, mean, count, received] : [ts, last, min, max, mean, count];
}

function endOf(ts: number, { bucket }: HistoryCut): number {
  return 'ms' in bucket ? ts + bucket.ms : beginOf(bucket, lotOf(bucket, ts) + 1);
}

/** The number of the group of days that `ts` falls into, counted from 1970. */
function lotOf({ daysIn, days = 1 }: Days, ts: number): number {
  return Math.floor(dayNumber(ts, daysIn) / days);
}

function beginOf({ daysIn, days = 1 }: Days, lot: number): number {
  return dayStart(lot * days, daysIn);
}

/**
 * The range of time of the buckets that lie completely within `from <= ts < to`; undefined when there are fewer than
 * two. The values in these buckets do not depend on where exactly the asked range begins and ends.
 */
export function wholeBuckets(
  { bucket, bucketMs }: HistoryCut,
  from: number,
  to: number,
): { from: number; to: number } | undefined {
  const inner =
    'ms' in bucket
      ? { from: Math.ceil(from / bucket.ms) * bucket.ms, to: Math.floor(to / bucket.ms) * bucket.ms }
      : wholeLots(bucket, from, to);
  return inner.to - inner.from >= 2 * bucketMs ? inner : undefined;
}

function wholeLots(bucket: Days, from: number, to: number) {
  const first = lotOf(bucket, from);
  const begins = beginOf(bucket, first) === from;
  return { from: begins ? from : beginOf(bucket, first + 1), to: beginOf(bucket, lotOf(bucket, to)) };
}
