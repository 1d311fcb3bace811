import { dateOf, startOfDay } from './zone.ts';

const DAY_MS = 86_400_000;

/**
 * The time of day by the clocks of `zone`, with its date when it is not of the day that `now` is of there, and the year
 * when it is of another one. `seconds`: to the second. Without a zone it is the viewer's: for what concerns no farm.
 */
export function formatMoment(
  ts: number,
  now: number,
  locale: string | undefined,
  zone: string | undefined,
  seconds = false,
): string {
  const [day, today] = [ts, now].map((at) => dateOf(at, zone));
  const form: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', timeZone: zone };
  if (seconds) form.second = '2-digit';
  const time = new Intl.DateTimeFormat(locale, form).format(ts);
  if (day === today) return time;
  const isThisYear = day?.slice(0, 4) === today?.slice(0, 4);
  const date: Intl.DateTimeFormatOptions = { day: 'numeric', month: 'short', timeZone: zone };
  if (!isThisYear) date.year = 'numeric';
  return `${new Intl.DateTimeFormat(locale, date).format(ts)}, ${time}`;
}

/** The whole moment, for those who want to know it exactly: "24 Nov 2026, 13:05:07". */
export function formatExactly(ts: number, locale: string | undefined, zone: string | undefined): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: 'medium', timeStyle: 'medium', timeZone: zone }).format(ts);
}

/** The time of a day that began at `begin`. Its end is 24:00 where clocks go to 24, and not the begin of the next day. */
export function formatTimeOfDay(ts: number, begin: number, locale: string | undefined, zone: string): string {
  const clock: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', timeZone: zone };
  const usual = new Intl.DateTimeFormat(locale, clock);
  const ends = ts > begin && startOfDay(ts, zone) === ts && usual.resolvedOptions().hourCycle === 'h23';
  return (ends ? new Intl.DateTimeFormat(locale, { ...clock, hourCycle: 'h24' }) : usual).format(ts);
}

/** A moment in a chart over `rangeMs`: of less than a day to the second. */
export function formatInstant(
  ts: number,
  { rangeMs, now }: { readonly rangeMs: number; readonly now: number },
  locale: string | undefined,
  zone: string,
): string {
  return formatMoment(ts, now, locale, zone, rangeMs < DAY_MS);
}

/** Labels of a time axis: the time at each mark, with the date below where a day begins; whole days by their date, and by their year where there are several. */
export function axisLabels(
  marks: readonly number[],
  stepMs: number,
  locale: string | undefined,
  zone: string,
): string[] {
  const date = dayName(locale, zone);
  const clock: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', timeZone: zone };
  if (stepMs < 60_000) clock.second = '2-digit';
  const time = new Intl.DateTimeFormat(locale, clock);
  if (stepMs >= DAY_MS) return dayLabels(marks, locale, zone);
  let day = '';
  return marks.map((mark) => {
    const before = day;
    day = date.format(mark);
    const begins = before === '' ? startOfDay(mark, zone) === mark : before !== day;
    return begins ? `${time.format(mark)}\n${day}` : time.format(mark);
  });
}

/** Dates; where they are of several years, the first of each year has it below. */
function dayLabels(marks: readonly number[], locale: string | undefined, zone: string): string[] {
  const date = dayName(locale, zone);
  const format = new Intl.DateTimeFormat(locale, { year: 'numeric', timeZone: zone });
  const years = marks.map((mark) => format.format(mark));
  const isOfOne = new Set(years).size <= 1;
  return marks.map((mark, i) => {
    const isFirst = years[i] !== years[i - 1];
    return isFirst && !isOfOne ? `${date.format(mark)}\n${years[i]}` : date.format(mark);
  });
}

function dayName(locale: string | undefined, zone: string | undefined): Intl.DateTimeFormat {
  return new Intl.DateTimeFormat(locale, { day: 'numeric', month: 'short', timeZone: zone });
}

/** "24 Nov, 08:00 – 14:30", with both dates where they differ, and the years where they do. */
export function formatSpan(from: number, to: number, locale: string | undefined, zone: string): string {
  const isOfOneYear = dateOf(from, zone).slice(0, 4) === dateOf(to, zone).slice(0, 4);
  const format = new Intl.DateTimeFormat(locale, {
    ...(isOfOneYear ? {} : { year: 'numeric' }),
    day: 'numeric',
    month: 'short',
    hour: '2-digit',
    minute: '2-digit',
    timeZone: zone,
  });
  return format.formatRange(from, to);
}

/** A whole day: "Tuesday, 24 November 2026". */
export function formatDay(ts: number, locale: string | undefined, zone: string): string {
  return new Intl.DateTimeFormat(locale, { dateStyle: 'full', timeZone: zone }).format(ts);
}
