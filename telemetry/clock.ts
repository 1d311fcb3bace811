import { instantOf } from './calendar.ts';
import { instant, instantOfMicros, microsOf } from './instant.ts';
import { MAX_TS, MIN_TS } from './reading.ts';

/** How far ahead of the time of receipt a device's clock may be, ms. A time up to that is taken as it is. */
export const MAX_AHEAD_MS = 5 * 60_000;

/**
 * Whose clock dates a sensor's readings.
 *
 * - `device`: the time that the payload carries, and the time of receipt where it carries none. Times that cannot be true are refused.
 * - `receipt`: for clocks that are known to be wrong. The newest reading of a payload was measured when it was received,
 *   and the others as long before it as the device says.
 */
export const CLOCKS = ['device', 'receipt'] as const;
export type ClockPolicy = (typeof CLOCKS)[number];

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

/**
 * As `readTime`, and to the microsecond: for files that may have been written by Loam itself, where the digits behind
 * the millisecond tell values apart. Smaller digits of a date are cut off, those of a number are rounded.
 */
export function readInstant(given: unknown, zone: string): number | undefined {
  if (typeof given === 'string') return readDate(given.trim(), zone);
  const time = typeof given === 'number' ? readNumber(given) : undefined;
  return time === undefined ? undefined : instantOfMicros(microsOf(time));
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

function readDate(text: string, zone: string): number | undefined {
  const parts = text.length <= MOST_DATE ? DATE.exec(text) : null;
  if (!parts) return undefined;
  const [, year, month, day, hour = '0', minute = '0', second = '0', fraction = '0', offset] = parts;
  const micros = Number(fraction.slice(0, 6).padEnd(6, '0'));
  const ms = Math.floor(micros / 1000);
  const local = Date.UTC(
    Number(year),
    Number(month) - 1,
    Number(day),
    Number(hour),
    Number(minute),
    Number(second),
    ms,
  );
  // `Date.UTC` would carry 31 February and 25 o'clock over into the next month or day: they are refused.
  const shown = new Date(local);
  const isReal =
    shown.getUTCMonth() === Number(month) - 1 &&
    shown.getUTCDate() === Number(day) &&
    shown.getUTCMinutes() === Number(minute) &&
    Number(second) < 60;
  if (!isReal) return undefined;
  const told = offset === undefined ? instantOf(local, zone) : local - offsetMs(offset);
  return instant(told, micros % 1000);
}

function offsetMs(offset: string): number {
  const [, sign, hours = '0', minutes = '0'] = /^([+-])(\d\d):?(\d\d)?$/.exec(offset) ?? [];
  const ms = (Number(hours) * 60 + Number(minutes)) * 60_000;
  return sign === '-' ? -ms : ms;
}
