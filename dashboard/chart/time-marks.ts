import { DAY, dayEdges, dayNumber, dayStart, instantOf } from '../../telemetry/calendar.ts';

const HOUR = 3_600_000;
/** The chart's steps know months and years by these lengths. */
const MONTH = 30 * DAY;
const YEAR = 365 * DAY;

/**
 * Where a time axis has its marks, Unix ms, from `from` to `to`, about every `step` ms: by the same calendar of `zone`
 * as the server's days. The drawing library's own takes every day to begin at 00:00, and not every day does.
 */
export function timeMarks(from: number, to: number, step: number, zone: string): number[] {
  return marksOf(from, to, step, zone).filter((ts) => ts >= from && ts <= to);
}

function marksOf(from: number, to: number, step: number, zone: string): number[] {
  if (step >= MONTH)
    return monthsOf(from, to, step >= YEAR ? 12 * Math.round(step / YEAR) : Math.round(step / MONTH), zone);
  if (step >= DAY) return dayEdges(zone, from, to, Math.round(step / DAY));
  const days = dayEdges(zone, from, to + 1);
  return days.slice(0, -1).flatMap((begin, i) => timesOf(begin, days[i + 1] ?? begin, { from, to, step, zone }));
}

/** The marks of one day. Long steps are full hours of the clock, also behind a change; short ones leave no hour out. */
function timesOf(
  begin: number,
  end: number,
  { from, to, step, zone }: { from: number; to: number; step: number; zone: string },
): number[] {
  const first = step > HOUR ? 0 : Math.max(0, Math.floor((Math.max(from, begin) - begin) / step));
  const local = dayNumber(begin, zone) * DAY;
  const marks = [];
  for (let n = first; begin + n * step <= Math.min(to + HOUR, end + HOUR); n++) {
    const at = step <= HOUR || n === 0 ? begin + n * step : instantOf(local + n * step, zone);
    if (at >= begin && at < end && at > (marks.at(-1) ?? Number.NEGATIVE_INFINITY)) marks.push(at);
  }
  return marks;
}

function monthsOf(from: number, to: number, count: number, zone: string): number[] {
  const marks = [];
  const first = new Date(from);
  // Months since 1970, in groups that begin with a January.
  const begin = (first.getUTCFullYear() - 1970) * 12 + first.getUTCMonth() - count;
  for (let month = Math.floor(begin / count) * count; ; month += count) {
    const at = dayStart(Date.UTC(1970, month) / DAY, zone);
    if (at > to) return marks;
    marks.push(at);
  }
}
