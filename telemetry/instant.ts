/**
 * An instant is Unix time in ms with at most three digits behind the point: whole microseconds. A time that a device or a person tells is
 * whole ms. A time of receipt has a count behind the point, by which a publish is told from the others of the same millisecond.
 *
 * Two equal instants are equal numbers: each is made by dividing whole microseconds by 1,000, which gives the same number as reading its
 * digits from JSON.
 */
const MICROS_PER_MS = 1_000;

/** The instant in the millisecond `ms` (Unix) with the count `sub`, 0 to 999. */
export function instant(ms: number, sub: number): number {
  return (ms * MICROS_PER_MS + sub) / MICROS_PER_MS;
}

/**
 * The whole microseconds since 1970 of an instant, exact until the year 2248. What is behind the point is multiplied
 * alone: from 2109 on, the product of the whole number would be off by one now and then.
 */
export function microsOf(ts: number): number {
  const ms = Math.floor(ts);
  return ms * MICROS_PER_MS + Math.round((ts - ms) * MICROS_PER_MS);
}

/** The instant of so many whole microseconds since 1970. */
export function instantOfMicros(micros: number): number {
  return micros / MICROS_PER_MS;
}

/** The millisecond that an instant is in, Unix ms. */
export function msOf(ts: number): number {
  return Math.floor(ts);
}

/** The count of an instant within its millisecond, 0 to 999; 0 for a time that somebody told. */
export function subOf(ts: number): number {
  return microsOf(ts) - Math.floor(ts) * MICROS_PER_MS;
}

/** Whether a number is an instant: finite, and with no part smaller than a microsecond. */
export function isInstant(ts: number): boolean {
  return Number.isSafeInteger(microsOf(ts)) && instantOfMicros(microsOf(ts)) === ts;
}
