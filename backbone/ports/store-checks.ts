import { StoreRejected } from '../../core/errors.ts';
import { refuseZone } from '../../telemetry/calendar.ts';
import { isInstant } from '../../telemetry/instant.ts';
import { MAX_TS, MIN_TS, RESERVED_METRICS, type Reading } from '../../telemetry/reading.ts';
import type { BucketWidth, HistoryQuery } from './store.ts';

/** Checks that every store makes alike, so that the data of one adapter are valid in the other. */

// A backslash or a control character in a name cannot be told apart from escaping in InfluxDB's line protocol.
const NAME = /^[^\p{Cc}\\]{1,256}$/u;

// A cache of valid names: every reading repeats the same few.
const MOST_KNOWN = 50_000;
const known = new Set<string>();

/** Whether a farm, a sensor or a metric of this name can be in a store. */
export function isName(name: string): boolean {
  if (known.has(name)) return true;
  if (!NAME.test(name)) return false;
  if (known.size >= MOST_KNOWN) known.clear();
  known.add(name);
  return true;
}

/** Whether a store can hold a metric of this name. */
export function isMetric(name: string): boolean {
  return isName(name) && !RESERVED_METRICS.has(name);
}

/** Throws StoreRejected, with the `suspects`, unless every reading is one that any store can keep and give back. */
export function refuseUnstorable(readings: readonly Reading[]): void {
  let first = '';
  const suspects: number[] = [];
  for (const [place, reading] of readings.entries()) {
    const what = unstorable(reading);
    if (what === undefined) continue;
    first ||= `a reading of ${JSON.stringify(reading.sensor)} has ${what}`;
    suspects.push(place);
  }
  if (suspects.length > 0) throw new StoreRejected(first, { suspects });
}

function unstorable({ farm, sensor, ts, received, values }: Reading): string | undefined {
  if (!isName(farm)) return `the impossible farm ${JSON.stringify(farm)}`;
  if (!isName(sensor)) return 'an impossible sensor id';
  if (!isInstant(ts) || ts < MIN_TS || ts > MAX_TS) return `the impossible time ${ts}`;
  if (!isInstant(received)) return `the impossible time of receipt ${received}`;
  let count = 0;
  for (const metric in values) {
    if (!isMetric(metric)) return `the impossible metric ${JSON.stringify(metric)}`;
    if (!Number.isFinite(values[metric])) return `the value ${values[metric]} of ${metric}`;
    count += 1;
  }
  return count === 0 ? 'no values' : undefined;
}

/** A half-open range of time in whole ms. */
export interface TimeRange {
  readonly from: number;
  readonly to: number;
}

/** The part of [from, to) that can hold readings, or undefined when none can. */
export function storable(from: number, to: number): TimeRange | undefined {
  const cut = { from: Math.ceil(Math.max(from, MIN_TS)), to: Math.ceil(Math.min(to, MAX_TS + 1)) };
  return cut.from < cut.to ? cut : undefined;
}

/** Throws RangeError unless buckets can be this wide. */
export function refuseWidth(bucket: BucketWidth): void {
  if ('daysIn' in bucket) refuseZone(bucket.daysIn);
  const [width, unit] = 'daysIn' in bucket ? [bucket.days ?? 1, 'days'] : [bucket.ms, 'ms'];
  if (!Number.isSafeInteger(width) || width <= 0) throw new RangeError(`a bucket of ${width} ${unit}`);
}

/** How far before its range a query has to look for values that are held, whole ms. */
export function longestHeld({ held = [] }: Pick<HistoryQuery, 'held'>): number {
  return Math.ceil(held.reduce((most, [, ms]) => Math.max(most, ms), 0));
}
