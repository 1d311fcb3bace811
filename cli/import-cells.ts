import { isShownTwice } from '../telemetry/calendar.ts';
import { namesZone, readTime } from '../telemetry/clock.ts';

/** Longer cells are neither times nor numbers; no pattern looks at them. */
const MOST_CELL = 64;

/** The parts of a time that `--time-format` may name. */
const PARTS: Readonly<Record<string, string>> = {
  YYYY: '(?<year>\\d{4})',
  MM: '(?<month>\\d{1,2})',
  DD: '(?<day>\\d{1,2})',
  HH: '(?<hour>\\d{1,2})',
  mm: '(?<minute>\\d{1,2})',
  ss: '(?<second>\\d{1,2})',
};

export type ReadCell = (cell: string) => number | undefined;

/**
 * Reads a time cell as Unix ms: a number of ms or of seconds, a date of ISO 8601 (in `zone` where it names none), or what `format` says,
 * such as `DD.MM.YYYY HH:mm`. Undefined when it is no time. Throws Error when the format names no day.
 */
export function timeReader(zone: string, format?: string): ReadCell {
  if (format === undefined)
    return (cell) => (cell.length <= MOST_CELL ? readTime(isPlain(cell) ? Number(cell) : cell, zone) : undefined);
  const pattern = format
    .replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
    .replace(/YYYY|MM|DD|HH|mm|ss/g, (part) => PARTS[part] ?? part);
  const wanted = new RegExp(`^${pattern}$`);
  for (const part of ['YYYY', 'MM', 'DD']) if (!format.includes(part)) throw new Error(`there is no ${part} in it`);
  return (cell) => {
    const found = cell.length <= MOST_CELL ? wanted.exec(cell)?.groups : undefined;
    if (!found) return undefined;
    const two = (name: string) => (found[name] ?? '0').padStart(2, '0');
    return readTime(
      `${found.year}-${two('month')}-${two('day')}T${two('hour')}:${two('minute')}:${two('second')}`,
      zone,
    );
  };
}

/**
 * Whether the clocks of `zone` show twice what a time cell says, and it does not say which is meant. `ts` is what `timeReader` made of it.
 */
export function twiceReader(zone: string, format?: string): (cell: string, ts: number) => boolean {
  return (cell, ts) => {
    const isLocal = format !== undefined || !(isPlain(cell) || namesZone(cell));
    return isLocal && isShownTwice(ts, zone);
  };
}

function isPlain(cell: string): boolean {
  return /^-?\d+(?:\.\d+)?$/.test(cell);
}

/** Reads a number; with `comma` its decimals begin with one. Undefined when it is none. */
export function numberReader(comma: boolean): ReadCell {
  return (cell) => {
    if (cell.length > MOST_CELL) return undefined;
    const text = comma ? cell.replace(',', '.') : cell;
    // A digit can belong to one part only: the pattern takes no longer than its text is long.
    return /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
  };
}
