import { DAY, dayEdges, dayNumber, dayStart, instantOf, offsetsOf } from '../../telemetry/calendar.ts';

/** Midnights of `zone` (IANA) with `from <= ts < to` (Unix ms). */
export function midnights(from: number, to: number, zone: string): number[] {
  return dayEdges(zone, from, to).filter((ts) => ts >= from && ts < to);
}

/** When the day of `zone` that holds `ts` began. */
export function startOfDay(ts: number, zone: string): number {
  return dayStart(dayNumber(ts, zone), zone);
}

/** `2026-03-01T07:30` as the clocks of `zone` show it; what <input type=datetime-local> takes. */
export function toInput(ts: number, zone: string): string {
  return new Date(ts + offsetsOf(zone)(ts)).toISOString().slice(0, 16);
}

/** Reads `2026-03-01T07:30` or `2026-03-01` by the clocks of `zone`; undefined when it is neither. */
export function fromInput(text: string, zone: string): number | undefined {
  const [, date, time] = /^(\d{4}-\d\d-\d\d)(?:T(\d\d:\d\d)(?::\d\d)?)?$/.exec(text) ?? [];
  const local = date === undefined ? Number.NaN : Date.parse(`${date}T${time ?? '00:00'}Z`);
  if (Number.isNaN(local)) return undefined;
  return time === undefined ? dayStart(local / DAY, zone) : instantOf(local, zone);
}

/** `2026-03-01`, the date that `zone` (by default this machine's) has at `ts`. */
export function dateOf(ts: number, zone = Intl.DateTimeFormat().resolvedOptions().timeZone): string {
  return toInput(ts, zone).slice(0, 10);
}
