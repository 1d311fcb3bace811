import { startOfDay } from './zone.ts';

const DAY_MS = 86_400_000;

/** The time of day, and the date as well when `ts` is not of today. */
export function formatMoment(ts: number, now: number, locale: string | undefined, zone?: string): string {
  const date = dayName(locale, zone);
  const time = new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit', timeZone: zone }).format(ts);
  return date.format(ts) === date.format(now) ? time : `${date.format(ts)}, ${time}`;
}

/** The time of a day that began at `begin`. Its end is 24:00 where clocks go to 24, and not the begin of the next day. */
export function formatTimeOfDay(ts: number, begin: number, locale: string | undefined, zone: string): string {
  const clock: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', timeZone: zone };
  const usual = new Intl.DateTimeFormat(locale, clock);
  const ends = ts > begin && startOfDay(ts, zone) === ts && usual.resolvedOptions().hourCycle === 'h23';
  return (ends ? new Intl.DateTimeFormat(locale, { ...clock, hourCycle: 'h24' }) : usual).format(ts);
}

/** The time of day with seconds, and the date when the range is longer than a day. */
export function formatInstant(ts: number, rangeMs: number, locale: string | undefined, zone: string): string {
  const time: Intl.DateTimeFormatOptions = { hour: '2-digit', minute: '2-digit', timeZone: zone };
  if (rangeMs < DAY_MS) time.second = '2-digit';
  if (rangeMs > DAY_MS) Object.assign(time, { day: 'numeric', month: 'short' });
  return new Intl.DateTimeFormat(locale, time).format(ts);
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

/** "24 Nov, 08:00 – 14:30", with both dates where they differ. */
export function formatSpan(from: number, to: number, locale: string | undefined, zone: string): string {
  const format = new Intl.DateTimeFormat(locale, {
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
