import { isLate } from '../backfill.ts';
import { type ClockRule, isOfOurTime, MAX_AHEAD_MS, readTimes, type ShownTwice } from '../clock.ts';
import { instant, msOf, subOf } from '../instant.ts';
import { MAX_TS, type Reading } from '../reading.ts';
import { child, type Draft, kind, type PayloadContext, type Refusals } from './decoded.ts';
import { Doubles } from './doubles.ts';
import { type SettledDraft, tellApart } from './shown-twice.ts';

/**
 * The time that a payload gives under `key`, Unix ms, or both that a local time may mean; null when it was refused. With
 * the clock `receipt` no time is refused, and undefined means that it cannot be read.
 */
export function takeTime(
  given: unknown,
  path: string,
  key: string,
  { rules }: PayloadContext,
  refusals: Refusals,
): number | ShownTwice | undefined | null {
  const at = readTimes(given, rules.zone);
  if (rules.clock.by === 'receipt') return at;
  if (at !== undefined && canBeTold(typeof at === 'number' ? at : at.first, rules.clock)) return at;
  const hint = at === undefined ? '' : '; if its clock is wrong, let the registry say "clock: receipt"';
  const explanation = `${kind(given)} is no time of the years 2000 to 2199${hint}`;
  refusals.add('bad_time', child(path, key), explanation);
  return null;
}

/** What else the time beside values is called. A value of such a name is none where it reads as a time of ours. */
const OTHER_NAMES: ReadonlySet<string> = new Set(
  'timestamp time datetime date_time time_stamp timeStamp dateTime Timestamp TimeStamp Time DateTime TIMESTAMP TIME TS'.split(
    ' ',
  ),
);

/** The time of a reading, as `takeTime` gives it, and the key that it stands under; without a key it has none. */
export interface TimeBeside {
  readonly at: number | ShownTwice | undefined | null;
  readonly key: string | undefined;
}

const NO_TIME: TimeBeside = { at: undefined, key: undefined };

/**
 * The time in `item`. It stands under `ts`, else under the first key such as `timestamp` or `time` that reads as a time of the
 * years 2000 to 2199, or whatever it has if a time is required: a device may well call a duration `time`.
 */
export function takeTimeBeside(
  item: Readonly<Record<string, unknown>>,
  path: string,
  context: PayloadContext,
  refusals: Refusals,
  isRequired = false,
): TimeBeside {
  if (Object.hasOwn(item, 'ts')) return { at: takeTime(item.ts, path, 'ts', context, refusals), key: 'ts' };
  for (const key of Object.keys(item)) {
    if (!OTHER_NAMES.has(key) || !(isRequired || isTimeBeside(key, item[key], context.rules.zone))) continue;
    return { at: takeTime(item[key], path, key, context, refusals), key };
  }
  return NO_TIME;
}

/** Whether what stands under this key is a time and no value. */
export function isTimeBeside(key: string, value: unknown, zone: string): boolean {
  if (!OTHER_NAMES.has(key)) return false;
  const at = readTimes(value, zone);
  return at !== undefined && isOfOurTime(typeof at === 'number' ? at : at.first);
}

/** As `takeTime`, for the time at which a network received what it passes on at once: of two times it is the later that has come. */
export function takeReception(
  given: unknown,
  key: string,
  context: PayloadContext,
  refusals: Refusals,
): number | undefined | null {
  const at = takeTime(given, '$', key, context, refusals);
  if (typeof at !== 'object' || at === null) return at;
  return at.second - context.received <= MAX_AHEAD_MS ? at.second : at.first;
}

/** Whether a device may tell this time (Unix ms) at all. Below the floor, where there is one, it is only not believed. */
export function canBeTold(at: number, { offsetMs, floor }: ClockRule): boolean {
  return floor === undefined ? isOfOurTime(at) : at + offsetMs < MAX_TS;
}

/**
 * Readings of drafts, each at its time by the sensor's clock policy. Times that cannot be true are refused, and so are
 * values that would overwrite another value of the payload.
 */
export function settleTimes(drafts: readonly Draft[], context: PayloadContext, refusals: Refusals): Reading[] {
  const readings: Reading[] = [];
  const settled = tellApart(drafts, context, refusals);
  const timeOf = timesBy(settled, context, refusals);
  // Nearly all payloads have one reading: it can overwrite nothing.
  const doubles = settled.length > 1 ? new Doubles() : undefined;
  for (const draft of settled) {
    const ts = timeOf(draft);
    if (ts === undefined) continue;
    const { path, at } = draft;
    const values = doubles
      ? doubles.single(ts, draft.values, (metric, other) =>
          refusals.add(
            'double_time',
            child(path, metric),
            `the payload has another ${metric} at the same time: ${other}`,
          ),
        )
      : draft.values;
    const isReplaced =
      at !== undefined && draft.ofReceipt !== true && (context.rules.clock.by === 'receipt' || ts !== at);
    if (values) readings.push(reading(context, ts, values, isReplaced ? at : undefined));
  }
  return readings;
}

/** The time of a draft, an instant; undefined when it was refused. */
type TimeOf = (draft: SettledDraft) => number | undefined;

function timesBy(drafts: readonly SettledDraft[], context: PayloadContext, refusals: Refusals): TimeOf {
  const { clock } = context.rules;
  if (clock.by === 'receipt') return byReceipt(drafts, drafts, context, refusals);
  const told = byDevice(context, refusals);
  const isUnbelieved = ({ at, ofReceipt }: SettledDraft) =>
    clock.floor !== undefined && at !== undefined && ofReceipt !== true && at + clock.offsetMs < clock.floor;
  const unbelieved = drafts.filter(isUnbelieved);
  if (unbelieved.length === 0) return told;
  const guessed = byReceipt(unbelieved, drafts, context, refusals);
  return (draft) => (isUnbelieved(draft) ? guessed(draft) : told(draft));
}

function byDevice({ received, rules: { clock } }: PayloadContext, refusals: Refusals): TimeOf {
  return ({ at, path, ofReceipt }) => {
    if (at === undefined) return received;
    const ts = ofReceipt === true ? at : at + clock.offsetMs;
    const ahead = ts - received;
    if (ahead <= MAX_AHEAD_MS) return ts;
    const explanation = `${Math.round(ahead / 1000)} s after it was received; if its clock is wrong, let the registry say "clock: receipt"`;
    refusals.add('future_time', path, explanation);
    if (ofReceipt !== true) refusals.isAhead(at - msOf(received), clock.offsetMs);
    return undefined;
  };
}

/** The times of `drafts`, the newest of which was measured at the receipt. `all` are those of the payload. */
function byReceipt(
  drafts: readonly SettledDraft[],
  all: readonly SettledDraft[],
  { received }: PayloadContext,
  refusals: Refusals,
): TimeOf {
  const newest = drafts.reduce(
    (latest, { at }) => Math.max(latest, at === undefined ? latest : msOf(at)),
    Number.NEGATIVE_INFINITY,
  );
  // A draft without a time was measured now. The newest with a time is then 1 ms earlier, or both were the same point.
  const begin = all.some(({ at }) => at === undefined) ? msOf(received) - 1 : msOf(received);
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
