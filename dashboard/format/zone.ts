const DAY_MS = 86_400_000;

/** A moment's calendar date and time of day in a zone. */
interface Local {
  readonly year: number;
  readonly month: number;
  readonly day: number;
  readonly hour: number;
  readonly minute: number;
  readonly second: number;
}

const formats = new Map<string, Intl.DateTimeFormat>();

/** Midnights of `zone` (IANA) with `from <= ts < to` (Unix ms), at most `limit` of them. */
export function midnights(from: number, to: number, zone: string, limit = 400): number[] {
  const found: number[] = [];
  let at = startOfDay(from, zone);
  while (at < to && found.length < limit) {
    if (at >= from) found.push(at);
    // 36 hours later it is the next day, however long this one is.
    at = startOfDay(at + 1.5 * DAY_MS, zone);
  }
  return found;
}

/** When the day of `zone` that holds `ts` began. */
export function startOfDay(ts: number, zone: string): number {
  const { year, month, day } = localOf(ts, zone);
  return fromLocal({ year, month, day, hour: 0, minute: 0, second: 0 }, zone);
}

/** The moment at which the clocks of `zone` show this; of an hour that a clock change leaves out, the moment after it. */
function fromLocal(local: Local, zone: string): number {
  const wanted = utc(local);
  let ts = wanted;
  for (let round = 0; round < 3; round++) ts = wanted - (utc(localOf(ts, zone)) - Math.floor(ts / 1000) * 1000);
  return ts;
}

/** `2026-03-01T07:30` as the clocks of `zone` show it; what <input type=datetime-local> takes. */
export function toInput(ts: number, zone: string): string {
  const { year, month, day, hour, minute } = localOf(ts, zone);
  const two = (n: number) => `${n}`.padStart(2, '0');
  return `${`${year}`.padStart(4, '0')}-${two(month)}-${two(day)}T${two(hour)}:${two(minute)}`;
}

/** Reads `2026-03-01T07:30` or `2026-03-01` by the clocks of `zone`; undefined when it is neither. */
export function fromInput(text: string, zone: string): number | undefined {
  const [, year, month, day, hour = 0, minute = 0] =
    /^(\d{4})-(\d\d)-(\d\d)(?:T(\d\d):(\d\d)(?::\d\d)?)?$/.exec(text)?.map(Number) ?? [];
  if (year === undefined || month === undefined || day === undefined) return undefined;
  if (month < 1 || month > 12 || day < 1 || day > 31) return undefined;
  return fromLocal({ year, month, day, hour: hour || 0, minute: minute || 0, second: 0 }, zone);
}

/** `2026-03-01`, the date that `zone` has at `ts`. */
export function dateOf(ts: number, zone: string): string {
  return toInput(ts, zone).slice(0, 10);
}

function localOf(ts: number, zone: string): Local {
  const format =
    formats.get(zone) ??
    new Intl.DateTimeFormat('en-US', {
      timeZone: zone,
      hourCycle: 'h23',
      year: 'numeric',
      month: 'numeric',
      day: 'numeric',
      hour: 'numeric',
      minute: 'numeric',
      second: 'numeric',
    });
  if (formats.size > 20) formats.clear();
  formats.set(zone, format);
  const parts = new Map(format.formatToParts(ts).map((part) => [part.type, Number(part.value)]));
  const get = (type: Intl.DateTimeFormatPartTypes) => parts.get(type) ?? 0;
  return {
    year: get('year'),
    month: get('month'),
    day: get('day'),
    hour: get('hour'),
    minute: get('minute'),
    second: get('second'),
  };
}

function utc({ year, month, day, hour, minute, second }: Local): number {
  return Date.UTC(year, month - 1, day, hour, minute, second);
}
