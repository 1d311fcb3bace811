import type { Bucket, BucketWidth } from '../../backbone/store/port.ts';
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

/** How a history is cut: what the store is asked for, and how many of its days go into one bucket (1 below a day). */
export interface Cut {
  readonly bucket: BucketWidth;
  readonly days: number;
  /** The width to tell people, ms; a day counts as 24 hours. */
  readonly bucketMs: number;
}

/**
 * The narrowest round width that cuts `from <= ts < to` (Unix ms) into at most `points` buckets (at least 1).
 * From a day upwards buckets are whole calendar days of `zone`.
 */
export function chooseCut(from: number, to: number, points: number, zone: string): Cut {
  for (const ms of ROUND_WIDTHS) {
    if (Math.floor((to - 1) / ms) - Math.floor(from / ms) + 1 <= points) {
      return { bucket: { ms }, days: 1, bucketMs: ms };
    }
  }
  const dayCount = dayNumber(to - 1, zone) - dayNumber(from, zone) + 1;
  const days = Math.ceil(dayCount / points);
  return { bucket: { daysIn: zone }, days, bucketMs: days * DAY };
}

/** Folds buckets of single days into buckets of `days` days, the first of which begins with the day of `from`. */
export function foldDays(buckets: readonly Bucket[], from: number, days: number, zone: string): Bucket[] {
  if (days === 1) return [...buckets];
  const firstDay = dayNumber(from, zone);
  const folded: Bucket[] = [];
  let group = -1;
  for (const bucket of buckets) {
    const at = Math.floor((dayNumber(bucket.ts, zone) - firstDay) / days);
    const open = folded.at(-1);
    if (open === undefined || at !== group) {
      folded.push({ ...bucket, ts: dayStart(firstDay + at * days, zone) });
      group = at;
    } else {
      folded[folded.length - 1] = join(open, bucket);
    }
  }
  return folded;
}

function join(earlier: Bucket, later: Bucket): Bucket {
  const count = earlier.count + later.count;
  return {
    ts: earlier.ts,
    last: later.last,
    min: Math.min(earlier.min, later.min),
    max: Math.max(earlier.max, later.max),
    mean: (earlier.mean * earlier.count + later.mean * later.count) / count,
    count,
    received: Math.max(earlier.received, later.received),
  };
}

/** A bucket as it is told: when its last value came is said only where that was long after the bucket was over. */
export type Row =
  | readonly [ts: number, last: number, min: number, max: number, mean: number, count: number]
  | readonly [ts: number, last: number, min: number, max: number, mean: number, count: number, received: number];

export function toRow({ ts, last, min, max, mean, count, received }: Bucket, cut: Cut): Row {
  const isFilledIn = isLate({ ts: endOf(ts, cut), received });
  return isFilledIn ? [ts, last, min, max, mean, count, received] : [ts, last, min, max, mean, count];
}

function endOf(ts: number, { bucket, days }: Cut): number {
  return 'ms' in bucket ? ts + bucket.ms : dayStart(dayNumber(ts, bucket.daysIn) + days, bucket.daysIn);
}

/**
 * The whole buckets of a cut within `from <= ts < to`, as a range of time, or undefined when there are fewer than two:
 * what lies in them does not depend on where exactly the range begins and ends.
 */
export function wholeBuckets({ bucket }: Cut, from: number, to: number): { from: number; to: number } | undefined {
  const inner =
    'ms' in bucket
      ? { from: Math.ceil(from / bucket.ms) * bucket.ms, to: Math.floor(to / bucket.ms) * bucket.ms }
      : wholeDays(bucket.daysIn, from, to);
  const least = 2 * ('ms' in bucket ? bucket.ms : DAY);
  return inner.to - inner.from >= least ? inner : undefined;
}

function wholeDays(zone: string, from: number, to: number) {
  const first = dayNumber(from, zone);
  const begin = dayStart(first, zone);
  return { from: begin === from ? from : dayStart(first + 1, zone), to: dayStart(dayNumber(to, zone), zone) };
}
