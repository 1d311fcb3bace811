import { isLate } from '../backfill.ts';
import { isOfOurTime, MAX_AHEAD_MS, readTime } from '../clock.ts';
import type { Reading } from '../reading.ts';
import { child, type Draft, kind, type PayloadContext, type Refusals } from './decoded.ts';
import { Doubles } from './doubles.ts';

/** The time that a payload gives under `key`: Unix ms, undefined when its clock does not matter, or null when it was refused. */
export function takeTime(
  given: unknown,
  path: string,
  key: string,
  { rules }: PayloadContext,
  refusals: Refusals,
): number | undefined | null {
  const at = readTime(given, rules.zone);
  if (rules.clock === 'receipt') return at;
  if (at !== undefined && isOfOurTime(at)) return at;
  const hint = at === undefined ? '' : '; if its clock is wrong, let the registry say "clock: receipt"';
  const explanation = `${kind(given)} is no time of the years 2000 to 2199${hint}`;
  refusals.add('bad_time', child(path, key), explanation);
  return null;
}

/** Readings of drafts, each at its time by the sensor's clock policy. What cannot be true, or would overwrite another value, is refused. */
export function settleTimes(drafts: readonly Draft[], context: PayloadContext, refusals: Refusals): Reading[] {
  const timed =
    context.rules.clock === 'receipt' ? byReceipt(drafts, context, refusals) : byDevice(drafts, context, refusals);
  if (timed.length === 1) return timed.map(({ reading }) => reading);
  const doubles = new Doubles();
  return timed.flatMap(({ reading, path }) => {
    const values = doubles.single(reading.ts, reading.values, (metric, other) =>
      refusals.add('double_time', child(path, metric), `the payload has another ${metric} at the same time: ${other}`),
    );
    return values === undefined ? [] : [values === reading.values ? reading : { ...reading, values }];
  });
}

interface Timed {
  readonly reading: Reading;
  readonly path: string;
}

function byDevice(drafts: readonly Draft[], context: PayloadContext, refusals: Refusals): Timed[] {
  const timed: Timed[] = [];
  for (const { at, path, values } of drafts) {
    const ahead = at === undefined ? 0 : at - context.received;
    if (ahead > MAX_AHEAD_MS) {
      const explanation = `${Math.round(ahead / 1000)} s after it was received; if its clock is wrong, let the registry say "clock: receipt"`;
      refusals.add('future_time', path, explanation);
    } else timed.push({ reading: reading(context, at ?? context.received, values), path });
  }
  return timed;
}

function byReceipt(drafts: readonly Draft[], context: PayloadContext, refusals: Refusals): Timed[] {
  const newest = drafts.reduce(
    (latest, { at }) => Math.max(latest, at ?? Number.NEGATIVE_INFINITY),
    Number.NEGATIVE_INFINITY,
  );
  // What has no time was measured now; beside it the newest of those that have one is a moment older, or it would be the same point.
  const begin = drafts.some(({ at }) => at === undefined) ? context.received - 1 : context.received;
  const timed: Timed[] = [];
  for (const { at, path, values } of drafts) {
    const ts = at === undefined ? context.received : begin - (newest - at);
    if (isOfOurTime(ts)) timed.push({ reading: reading(context, ts, values, at), path });
    else refusals.add('bad_time', path, 'it lies too far before the newest reading of the payload');
  }
  return timed;
}

function reading(
  { farm, sensor, received }: PayloadContext,
  ts: number,
  values: Readonly<Record<string, number>>,
  deviceTs?: number,
): Reading {
  const plain = { farm, sensor, ts, received, values };
  const claimed = deviceTs === undefined ? plain : { ...plain, deviceTs };
  return isLate(plain) ? { ...claimed, backfill: true } : claimed;
}
