/**
 * Calendar days of a time zone, counted like days since 1970-01-01. A day's number says nothing about its length:
 * a day on which clocks change lasts 23 or 25 hours.
 */

const DAY_MS = 86_400_000;
const MAX_FORMATS = 1000;
const formats = new Map<string, Intl.DateTimeFormat>();

/** The number of the local day that `ts` (Unix ms) falls on in the IANA zone `zone`. */
export function dayNumber(ts: number, zone: string): number {
  return Math.floor(localTime(ts, zone) / DAY_MS);
}

/** When local day `day` begins, Unix ms: its first moment, also where clocks skip midnight. */
export function dayStart(day: number, zone: string): number {
  const midnight = day * DAY_MS;
  // The offset may change between a first guess and the true moment: two rounds settle it.
  let guess = midnight - offsetAt(midnight, zone);
  guess = midnight - offsetAt(guess, zone);
  // Clocks that skip midnight leave the guess on one side of the jump: the day begins at the jump itself.
  return dayNumber(guess, zone) === day && dayNumber(guess - 1, zone) < day ? guess : firstMoment(day, guess, zone);
}

/** The first moment of `day`, by halving: days come in order, so somewhere near the guess the number steps up. */
function firstMoment(day: number, near: number, zone: string): number {
  let before = near - DAY_MS;
  let within = near + DAY_MS;
  while (within - before > 1) {
    const middle = Math.floor((before + within) / 2);
    if (dayNumber(middle, zone) >= day) within = middle;
    else before = middle;
  }
  return within;
}

function offsetAt(ts: number, zone: string): number {
  return localTime(ts, zone) - ts;
}

/** The zone's clock at `ts`, read as if it were UTC. */
function localTime(ts: number, zone: string): number {
  const part: Record<string, number> = {};
  for (const { type, value } of formatOf(zone).formatToParts(ts)) part[type] = Number(value);
  const { year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = part;
  return Date.UTC(year, month - 1, day, hour, minute, second) + (((ts % 1000) + 1000) % 1000);
}

function formatOf(zone: string): Intl.DateTimeFormat {
  const known = formats.get(zone);
  if (known) return known;
  const made = new Intl.DateTimeFormat('en-u-ca-iso8601', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  if (formats.size >= MAX_FORMATS) formats.clear();
  formats.set(zone, made);
  return made;
}
