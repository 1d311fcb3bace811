/**
 * Calendar days in IANA time zones. Databases differ, and some are wrong, on days when the clocks change. So all parts
 * of Loam take the edges of days from here.
 */

const HOUR = 3_600_000;
export const DAY = 24 * HOUR;

/** Successive days, or groups of days, of equal length: `count` of them, `length` ms each, from the time `from` on. */
export interface DayRun {
  readonly from: number;
  readonly length: number;
  readonly count: number;
}

/**
 * The edges of every day in `zone` that [from, to) touches, in order: each is the start of a day (Unix ms), and the
 * last one is the end of the last day. A day starts at its first local midnight, or, where the clocks skip midnight, at
 * that jump. With `days` above 1, the edges of groups of so many days, counted from 1970-01-01. Throws RangeError for
 * an unknown zone.
 */
export function dayEdges(zone: string, from: number, to: number, days = 1): number[] {
  const offset = offsetsOf(zone);
  let day = Math.floor(dayAt(from, offset) / days) * days;
  const edges = [beginOf(day, offset)];
  for (let last = edges[0] ?? to; last < to; ) {
    day += days;
    const next = beginOf(day, offset);
    // A day that a zone skipped when it crossed the date line has no length.
    if (next > last) edges.push(next);
    last = next;
  }
  return edges;
}

/** Joins days, or groups of days, given by their edges, into runs of equal length: a year has about five. */
export function dayRuns(edges: readonly number[]): DayRun[] {
  const runs: DayRun[] = [];
  let from = edges[0] ?? 0;
  for (const to of edges.slice(1)) {
    const length = to - from;
    const run = runs.at(-1);
    if (run?.length === length) runs[runs.length - 1] = { ...run, count: run.count + 1 };
    else runs.push({ from, length, count: 1 });
    from = to;
  }
  return runs;
}

/** The day of `zone`, since 1970-01-01, that `instant` (Unix ms) falls on. Throws RangeError for an unknown zone. */
export function dayNumber(instant: number, zone: string): number {
  return dayAt(instant, offsetsOf(zone));
}

/** When day `day` of `zone` begins, Unix ms. Throws RangeError for an unknown zone. */
export function dayStart(day: number, zone: string): number {
  return beginOf(day, offsetsOf(zone));
}

type Offset = (instant: number) => number;

function dayAt(instant: number, offset: Offset): number {
  let day = Math.floor((instant + offset(instant)) / DAY);
  // Where the clocks went back over midnight, the local date alone may be a day too early or too late.
  while (beginOf(day, offset) > instant) day -= 1;
  while (beginOf(day + 1, offset) <= instant) day += 1;
  return day;
}

/** The first instant at which local clocks show midnight of `day` (since 1970-01-01), or later where they skip it. */
function beginOf(day: number, offset: Offset): number {
  const midnight = day * DAY;
  // Clocks on Earth are at most 14 h ahead of UTC and 12 h behind.
  let before = midnight - 15 * HOUR;
  let after = midnight + 13 * HOUR;
  const offsetBefore = offset(before);
  const offsetAfter = offset(after);
  if (offsetBefore === offsetAfter) return midnight - offsetBefore;
  while (after - before > 1) {
    const middle = Math.floor((before + after) / 2);
    if (offset(middle) === offsetBefore) before = middle;
    else after = middle;
  }
  const oldClock = midnight - offsetBefore;
  return oldClock < after ? oldClock : Math.max(after, midnight - offsetAfter);
}

/**
 * The instant (Unix ms) at which the clocks of `zone` show `local`, written as if it were UTC. When the clocks go back
 * and show `local` twice, it is the first instant. When they skip `local`, it is the one that the old clocks would have
 * shown. Throws RangeError for an unknown zone.
 */
export function instantOf(local: number, zone: string): number {
  return instantsOf(local, zone)[0];
}

/** As `instantOf`, and when the clocks show `local` twice, the second instant, too. Throws RangeError for an unknown zone. */
export function instantsOf(local: number, zone: string): readonly [first: number, second?: number] {
  const offset = offsetsOf(zone);
  const [early, late] = [offset(local - DAY), offset(local + DAY)];
  const first = local - Math.max(early, late);
  const second = local - Math.min(early, late);
  if (offset(first) === Math.max(early, late)) {
    return early > late && offset(second) === late ? [first, second] : [first];
  }
  return [offset(second) === Math.min(early, late) ? second : local - early];
}

/** Whether the local time of `zone` at `instant` (Unix ms) comes twice. Throws RangeError for an unknown zone. */
export function isShownTwice(instant: number, zone: string): boolean {
  const offset = offsetsOf(zone);
  const local = instant + offset(instant);
  const [early, late] = [offset(local - DAY), offset(local + DAY)];
  return early > late && offset(local - early) === early && offset(local - late) === late;
}

/** Throws RangeError unless `zone` is an IANA time zone. */
export function refuseZone(zone: string): void {
  formatOf(zone);
}

const MAX_KEPT = 100;
const kept = new Map<string, Intl.DateTimeFormat>();

/** Local time minus UTC, in ms, as a function of the instant (Unix ms). Throws RangeError for an unknown zone. */
export function offsetsOf(zone: string): Offset {
  const format = formatOf(zone);
  return (instant) => {
    const second = Math.floor(instant / 1000) * 1000;
    // The text is month/day/year, hour:minute:second. Reading it by position is several times faster than by parts.
    const [month = 0, date = 0, year = 0, hour = 0, minute = 0, seconds = 0] = (
      format.format(second).match(/\d+/g) ?? []
    ).map(Number);
    return Date.UTC(year, month - 1, date, hour, minute, seconds) - second;
  };
}

function formatOf(zone: string): Intl.DateTimeFormat {
  const known = kept.get(zone);
  if (known) return known;
  // Making a format costs far more than using it.
  const format = new Intl.DateTimeFormat('en-US', {
    timeZone: zone,
    hourCycle: 'h23',
    year: 'numeric',
    month: 'numeric',
    day: 'numeric',
    hour: 'numeric',
    minute: 'numeric',
    second: 'numeric',
  });
  if (kept.size >= MAX_KEPT) kept.clear();
  kept.set(zone, format);
  return format;
}
