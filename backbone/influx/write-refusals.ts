import { HttpError } from '@influxdata/influxdb-client';
import {
  explain,
  type LoamError,
  StoreRejected,
  StoreUnavailable,
  WriteRefused,
  WriteTooLarge,
} from '../../core/errors.ts';
import type { Reading } from '../../telemetry/reading.ts';
import type { InfluxAddress } from './address.ts';
import { DatabaseMissing, refusedRequest } from './answers.ts';

/** Refusals about the readings themselves. 2.0 gives some of them the status 500. */
const ABOUT_THE_READINGS = /partial write|unable to parse|field type conflict/;
/** Failures of the server that pass, whatever was written. */
const ABOUT_THE_SERVER =
  /no space left|disk quota|read-only|too many open files|hinted handoff|time(d )?out|engine is closed|cache-max-memory|shutting down/i;
/** https://docs.influxdata.com/influxdb/v1/troubleshooting/errors/ has the first form, InfluxDB 1.12 and 2.7.12 the second. */
const BEYOND_RETENTION = /beyond retention policy|outside retention policy/;

/** What a failed write of `readings` means; they are those from place `from` on of what the caller wrote. */
export function refusedWrite(
  address: InfluxAddress,
  cause: unknown,
  readings: readonly Reading[],
  from: number,
): LoamError {
  if (!(cause instanceof HttpError)) return new StoreUnavailable(`InfluxDB: ${explain(cause)}`, { cause });
  const { statusCode: status, body = '' } = cause;
  const complaint = `${cause.message} ${body}`;
  const isOpen = [400, 422, 500].includes(status) && !ABOUT_THE_SERVER.test(complaint);
  if (isOpen && BEYOND_RETENTION.test(complaint)) return beyondRetention(cause, complaint, readings, from);
  if (isOpen && ABOUT_THE_READINGS.test(complaint)) {
    const suspects = suspectsIn(complaint, body, readings, from);
    return new StoreRejected(`InfluxDB refuses readings: ${explain(cause)}`, { cause, suspects });
  }
  const retryAfter = headerOf(cause, 'retry-after');
  const refused = refusedRequest(address, { to: 'write', status, body: body || cause.message, retryAfter });
  if (status === 413) return new WriteTooLarge(refused.message);
  const saysWhy = refused instanceof DatabaseMissing || refused.retryAfterMs !== undefined;
  return isOpen && !saysWhy ? new WriteRefused(refused.message) : refused;
}

/** The client reads this header as milliseconds, and no dates. */
function headerOf({ headers }: HttpError, name: string): string | undefined {
  const value = headers?.[name];
  return Array.isArray(value) ? value[0] : value;
}

/**
 * The server keeps a write's other points, and says how many are older than it keeps. Those are the oldest ones: it goes by nothing
 * but their times.
 */
function beyondRetention(
  cause: HttpError,
  complaint: string,
  readings: readonly Reading[],
  from: number,
): StoreRejected {
  const count = Number(/dropped=(\d{1,9})/.exec(complaint)?.[1] ?? Number.NaN);
  const places = [...readings.keys()].sort((a, b) => timeAt(readings, a) - timeAt(readings, b));
  const last = places[count - 1];
  const next = places[count];
  // A write window, which some versions have too, drops by another rule.
  const isPlain =
    !complaint.includes('write window') &&
    last !== undefined &&
    (next === undefined || timeAt(readings, last) < timeAt(readings, next));
  return new StoreRejected(`InfluxDB keeps no readings of that age: ${explain(cause)}`, {
    cause,
    reason: 'beyond_retention',
    ...(isPlain ? { certain: true, suspects: places.slice(0, count).map((place) => from + place) } : {}),
  });
}

function timeAt(readings: readonly Reading[], place: number): number {
  return readings[place]?.ts ?? Number.NaN;
}

/**
 * InfluxDB 3 names the lines. For a conflict of types the others name the field, and every reading with that metric is a suspect.
 */
function suspectsIn(complaint: string, body: string, readings: readonly Reading[], from: number): number[] | undefined {
  const named = [...body.matchAll(/"line_number":\s{0,9}(\d{1,9})/g)].map(([, line]) => Number(line) - 1);
  const lines = named.filter((place) => place < readings.length);
  if (lines.length > 0) return lines.map((place) => from + place);
  const metric = /input field \\?"([^"\\]+)\\?"/.exec(complaint)?.[1];
  if (metric === undefined) return undefined;
  const places = readings.flatMap((reading, place) => (Object.hasOwn(reading.values, metric) ? [from + place] : []));
  return places.length > 0 ? places : undefined;
}
