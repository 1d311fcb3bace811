import { instantsOf } from './calendar.ts';
import { instant, instantOfMicros, microsOf } from './instant.ts';
import { MAX_TS, MIN_TS } from './reading.ts';

/** How far ahead of the time of receipt a device's clock may be, ms. A time up to that is taken as it is. */
export const MAX_AHEAD_MS = 5 * 60_000;

/**
 * Whether a value measured at `ts` counts for now: one of a time to come was dated by a clock that was wrong, a device's
 * or this machine's, and says nothing of now. `now`: Unix ms.
 */
export function isOfNow(ts: number, now: number): boolean {
  return ts <= now + MAX_AHEAD_MS;
}

/**
 * Whose clock dates a sensor's readings.
 *
 * - `device`: the time that the payload carries, and the time of receipt where it carries none. Times that cannot be true are refused.
 * - `receipt`: for clocks that are known to be wrong. The newest reading of a payload was measured when it was received,
 *   and the others as long before it as the device says.
 * - `offset`: for clocks that are wrong by a constant. So many seconds are added to each time that the device gives: the
 *   number is below 0 for a clock that is ahead.
 *
 * Where nothing is said it is `device`, but a time before the floor is not believed.
 */
export type ClockPolicy = (typeof CLOCKS)[number] | { readonly offset: number };
export const CLOCKS = ['device', 'receipt'] as const;

/** Most seconds that an offset may have: two centuries, as many as readings may be of. */
export const MOST_OFFSET_S = 200 * 366 * 86_400;
/** A device's time before it is not believed unless the registry says otherwise: clocks that were never set begin in 1970, 1980 or 2000. Unix ms. */
export const CLOCK_FLOOR = Date.UTC(2020, 0, 1);

/** What the registry says of the clock of one sensor, its own entry first. */
export interface ClockPolicies {
  readonly own: ClockPolicy | undefined;
  /** Of the bridge or source that a message came through. */
  readonly via: ClockPolicy | undefined;
  readonly farm: ClockPolicy | undefined;
  /** The sensor's floor, a day as YYYY-MM-DD. */
  readonly ownFloor: string | undefined;
}

/** How the times of one message are judged. */
export interface ClockRule {
  readonly by: 'device' | 'receipt';
  /** What is added to each time that the device gives, whole ms. */
  readonly offsetMs: number;
  /** A corrected time before it (Unix ms) is not believed, and dated as by `receipt`. Undefined: all are believed. */
  readonly floor: number | undefined;
}

/**
 * The rule that a sensor's policies make together: the nearest counts. Who says `device` outright means it, also of old
 * times; a floor of the sensor's own is nearer than what its bridge, source or farm says.
 */
export function clockRule({ own, via, farm, ownFloor }: ClockPolicies): ClockRule {
  const policy = own ?? via ?? farm;
  const floor = ownFloor === undefined ? CLOCK_FLOOR : Date.parse(ownFloor);
  if (policy === undefined) return { by: 'device', offsetMs: 0, floor };
  if (policy === 'receipt') return { by: 'receipt', offsetMs: 0, floor: undefined };
  if (policy !== 'device') return { by: 'device', offsetMs: Math.round(policy.offset * 1000), floor };
  const isFloored = own === undefined && ownFloor !== undefined;
  return { by: 'device', offsetMs: 0, floor: isFloored ? floor : undefined };
}

/** A local time without a zone that the clocks showed twice, and the two times (Unix ms) that it may mean. */
export interface ShownTwice {
  readonly first: number;
  readonly second: number;
}

/** Longer texts are no dates. */
const MOST_DATE = 64;
const DATE =
  /^(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?\s*(Z|UTC|[+-]\d\d(?::?\d\d)?)?$/i;

/**
 * The Unix time in whole ms that `given` means, of any year, or undefined when it means none. It is one of:
 * - a number of ms;
 * - a number of seconds, of the years 2000 to 2199: as ms it would be a time in early 1970;
 * - a date of ISO 8601 with its zone, or without one in `zone`, the farm's.
 */
export function readTime(given: unknown, zone: string): number | undefined {
  const time = typeof given === 'number' ? readNumber(given) : readInstant(given, zone);
  return time === undefined ? undefined : Math.floor(time);
}

/** Unix time in s or ms as a text. Fewer digits may be a date such as 20260501. */
const DIGITS = /^\d{9,13}(?:\.\d{1,9})?$/;

/** As `readTime`, also of a number in a text, and both times that are meant where the clocks of `zone` showed the same twice. */
export function readTimes(given: unknown, zone: string): number | ShownTwice | undefined {
  if (typeof given !== 'string') return readTime(given, zone);
  const text = given.trim();
  if (text.length <= MOST_DATE && DIGITS.test(text)) return readTime(Number(text), zone);
  const [first, second] = readDates(text, zone);
  if (first === undefined || second === undefined) return first === undefined ? undefined : Math.floor(first);
  return { first: Math.floor(first), second: Math.floor(second) };
}

/**
 * As `readTime`, and to the microsecond: for files that may have been written by Loam itself, where the digits behind
 * the millisecond tell values apart. Smaller digits of a date are cut off, those of a number are rounded.
 */
export function readInstant(given: unknown, zone: string): number | undefined {
  if (typeof given === 'string') return readDates(given.trim(), zone)[0];
  const time = typeof given === 'number' ? readNumber(given) : undefined;
  return time === undefined ? undefined : instantOfMicros(microsOf(time));
}

/** As `readInstant` of a date: nothing, one instant, or two where the clocks of `zone` showed the same twice. */
export function readInstants(text: string, zone: string): readonly [first?: number, second?: number] {
  return readDates(text.trim(), zone);
}

function readNumber(given: number): number | undefined {
  if (!Number.isFinite(given)) return undefined;
  return given * 1000 >= MIN_TS && given * 1000 < MAX_TS ? given * 1000 : given;
}

/** Whether a date, as `readTime` reads it, names its zone. */
export function namesZone(text: string): boolean {
  const date = text.trim();
  return date.length <= MOST_DATE && DATE.exec(date)?.[8] !== undefined;
}

/** Whether a time, Unix ms, is in the years 2000 to 2199, which readings may have. */
export function isOfOurTime(ts: number): boolean {
  return ts >= MIN_TS && ts < MAX_TS;
}

/** What a date means, as instants: nothing, one, or two. */
function readDates(text: string, zone: string): readonly [first?: number, second?: number] {
  const parts = text.length <= MOST_DATE ? DATE.exec(text) : null;
  if (!parts) return [];
  const [, year, month, day, hour = '0', minute = '0', seconds = '0', fraction = '0', offset] = parts;
  const micros = Number(fraction.slice(0, 6).padEnd(6, '0'));
  const ms = Math.floor(micros / 1000);
  const local = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(seconds),
    ms,
  );
  // `Date.UTC` would carry 31 February and 25 o'clock over into the next month or day: they are refused.
  const shown = new Date(local);
  const isReal =
    shown.getUTCMonth() === Number(month) - 1 &&
    shown.getUTCDate() === Number(day) &&
    shown.getUTCMinutes() === Number(minute) &&
    Number(seconds) < 60;
  if (!isReal) return [];
  const [first, second] = offset === undefined ? instantsOf(local, zone) : [local - offsetMs(offset)];
  const sub = micros % 1000;
  return second === undefined ? [instant(first, sub)] : [instant(first, sub), instant(second, sub)];
}

function offsetMs(offset: string): number {
  const [, sign, hours = '0', minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(offset) ?? [];
  const ms = (Number(hours) * 60 + Number(minutes)) * 60_000;
  return sign === '-' ? -ms : ms;
}
