import { isShownTwice } from '../telemetry/calendar.ts';
import { namesZone, readInstant } from '../telemetry/clock.ts';

/** Longer cells are neither times nor numbers: no pattern is tried on them. */
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
 * Returns a function that reads a time cell as an instant: a number of ms or of seconds, a date of ISO 8601 (in `zone` if
 * it names none), or what `format` says, such as `DD.MM.YYYY HH:mm`. That function returns undefined for any other
 * cell. Throws Error when the format lacks year, month or day.
 */
export function timeReader(zone: string, format?: string): ReadCell {
  if (format === undefined)
    return (cell) => (cell.length <= MOST_CELL ? readInstant(isPlain(cell) ? Number(cell) : cell, zone) : undefined);
  const pattern = format
    .replace(/[.*+?^${}()|[\]\\/]/g, '\\$&')
    .replace(/YYYY|MM|DD|HH|mm|ss/g, (part) => PARTS[part] ?? part);
  const wanted = new RegExp(`^${pattern}$`);
  for (const part of ['YYYY', 'MM', 'DD']) if (!format.includes(part)) throw new Error(`there is no ${part} in it`);
  return (cell) => {
    const found = cell.length <= MOST_CELL ? wanted.exec(cell)?.groups : undefined;
    if (!found) return undefined;
    const two = (name: string) => (found[name] ?? '0').padStart(2, '0');
    return readInstant(
      `${found.year}-${two('month')}-${two('day')}T${two('hour')}:${two('minute')}:${two('second')}`,
      zone,
    );
  };
}

/**
 * Returns a function that says whether a time cell is ambiguous: the clocks of `zone` showed its time twice, and the
 * cell does not say which of the two is meant. `ts` is the cell as `timeReader` read it.
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

/** Returns a reader of number cells: undefined for any other cell. With `comma` the decimals follow a comma. */
export function numberReader(comma: boolean): ReadCell {
  return (cell) => {
    if (cell.length > MOST_CELL) return undefined;
    const text = comma ? cell.replace(',', '.') : cell;
    // Each digit can match one part of the pattern only: so the time to match grows only with the length of the text.
    return /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
  };
}
