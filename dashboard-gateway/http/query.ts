import { z } from 'zod';
import { ID, MAX_TS, METRIC_NAME, MIN_TS } from '../../telemetry/reading.ts';
import { HttpProblem } from './problem.ts';

/** What the parameters of several routes have in common. */

const DAY_MS = 86_400_000;

const unixMs = z
  .string()
  .regex(/^\d{1,15}$/)
  .transform(Number);
const iso = z.iso.datetime({ offset: true }).transform(Date.parse);

/** A time, Unix ms or ISO 8601 with a zone. */
const time = z
  .union([unixMs, iso], { error: 'not a time: Unix ms, or ISO 8601 with a zone' })
  .refine((ts) => ts >= MIN_TS && ts <= MAX_TS, 'not between the years 2000 and 2200');

export const id = z.string().regex(ID);
export const metricName = z.string().regex(METRIC_NAME);
export const range = { from: time.optional(), to: time.optional() };

/**
 * The range that was asked for. Without `to` it ends now; without `from` it begins one day before `to`. Throws
 * HttpProblem when it is empty.
 */
export function rangeOf(given: { from?: number | undefined; to?: number | undefined }, now: number) {
  const to = given.to ?? now;
  const from = given.from ?? to - DAY_MS;
  if (from >= to) throw new HttpProblem('invalid-request', 'from: not before to');
  return { from, to };
}
