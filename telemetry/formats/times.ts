import { isLate } from '../backfill.ts';
import { isOfOurTime, MAX_AHEAD_MS, readTime } from '../clock.ts';
import { instant, msOf, subOf } from '../instant.ts';
import type { Reading } from '../reading.ts';
import { child, type Draft, kind, type PayloadContext, type Refusals } from './decoded.ts';
import { Doubles } from './doubles.ts';

/**
 * The time that a payload gives under `key`, Unix ms; null when it was refused. With the clock `receipt` no time is
 * refused, and undefined means that it cannot be read.
 */
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

/**
 * Readings of drafts, each at its time by the sensor's clock policy. Times that cannot be true are refused, and so are
 * values that would overwrite another value of the payload.
 */
export function settleTimes(drafts: readonly Draft[], context: PayloadContext, refusals: Refusals): Reading[] {
  const readings: Reading[] = [];
  const timeOf = context.rules.clock === 'receipt' ? byReceipt(drafts, context, refusals) : byDevice(context, refusals);
  // Nearly all payloads have one reading: it can overwrite nothing.
  const doubles = drafts.length > 1 ? new Doubles() : undefined;
  for (const draft of drafts) {
    const ts = timeOf(draft);
    if (ts === undefined) continue;
    const { path } = draft;
    const values = doubles
      ? doubles.single(ts, draft.values, (metric, other) =>
          refusals.add(
            'double_time',
            child(path, metric),
            `the payload has another ${metric} at the same time: ${other}`,
          ),
        )
      : draft.values;
    if (values) readings.push(reading(context, ts, values, context.rules.clock === 'receipt' ? draft.at : undefined));
  }
  return readings;
}

/** The time of a draft, an instant; undefined when it was refused. */
type TimeOf = (draft: Draft) => number | undefined;

function byDevice({ received }: PayloadContext, refusals: Refusals): TimeOf {
  return ({ at, path }) => {
    const ahead = at === undefined ? 0 : at - received;
    if (ahead <= MAX_AHEAD_MS) return at ?? received;
    const explanation = `${Math.round(ahead / 1000)} s after it was received; if its clock is wrong, let the registry say "clock: receipt"`;
    refusals.add('future_time', path, explanation);
    return undefined;
  };
}

function byReceipt(drafts: readonly Draft[], { received }: PayloadContext, refusals: Refusals): TimeOf {
  const newest = drafts.reduce(
    (latest, { at }) => Math.max(latest, at === undefined ? latest : msOf(at)),
    Number.NEGATIVE_INFINITY,
  );
  // A draft without a time was measured now. The newest with a time is then 1 ms earlier, or both were the same point.
  const begin = drafts.some(({ at }) => at === undefined) ? msOf(received) - 1 : msOf(received);
  return ({ at, path }) => {
    // All have the count of the receipt, which tells them from those of another publish.
    const ts = at === undefined ? received : instant(begin - (newest - msOf(at)), subOf(received));
    if (isOfOurTime(ts)) return ts;
    refusals.add('bad_time', path, 'it lies too far before the newest reading of the payload');
    return undefined;
  };
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
