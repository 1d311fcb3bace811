import { isShownTwice } from '../telemetry/calendar.ts';
import { namesZone, readInstant } from '../telemetry/clock.ts';

/** Longer cells are neither times nor numbers: no pattern is tried on them. */
const MOST_CELL = 64;

/** The parts of a time that `--time-format` may name, and the least and most digits of each. */
const PARTS = [
  { name: 'YYYY', least: 4, most: 4 },
  { name: 'MM', least: 1, most: 2 },
  { name: 'DD', least: 1, most: 2 },
  { name: 'HH', least: 1, most: 2 },
  { name: 'mm', least: 1, most: 2 },
  { name: 'ss', least: 1, most: 2 },
] as const;

type TimePart = (typeof PARTS)[number];
type Digits = Readonly<Partial<Record<TimePart['name'], string>>>;

export type ReadCell = (cell: string) => number | undefined;

/**
 * Returns a function that reads a time cell as an instant: a number of ms or of seconds, a date of ISO 8601 (in `zone` if
 * it names none), or what `format` says, such as `DD.MM.YYYY HH:mm`. That function returns undefined for any other
 * cell. Throws Error when the format lacks year, month or day, or names a part twice.
 */
export function timeReader(zone: string, format?: string): ReadCell {
  if (format === undefined)
    return (cell) => (cell.length <= MOST_CELL ? readInstant(isPlain(cell) ? Number(cell) : cell, zone) : undefined);
  const pieces = piecesOf(format);
  for (const part of ['YYYY', 'MM', 'DD']) if (!format.includes(part)) throw new Error(`there is no ${part} in it`);
  return (cell) => {
    const found = cell.length <= MOST_CELL ? digitsIn(cell, 0, pieces, 0) : undefined;
    if (!found) return undefined;
    const { YYYY, MM = '', DD = '', HH = '0', mm = '0', ss = '0' } = found;
    const two = (digits: string) => digits.padStart(2, '0');
    return readInstant(`${YYYY}-${two(MM)}-${two(DD)}T${two(HH)}:${two(mm)}:${two(ss)}`, zone);
  };
}

/** A format as the parts that it names and the characters between them. Throws Error when it names a part twice. */
function piecesOf(format: string): readonly (TimePart | string)[] {
  const pieces: (TimePart | string)[] = [];
  for (let at = 0; at < format.length; ) {
    const part = PARTS.find(({ name }) => format.startsWith(name, at));
    if (part !== undefined && pieces.includes(part)) throw new Error(`${part.name} is in it twice`);
    const piece = part ?? format.charAt(at);
    pieces.push(piece);
    at += part?.name.length ?? 1;
  }
  return pieces;
}

/**
 * The digits of each part, when `cell` from `at` on is written as the pieces from `next` on say; undefined when it is not.
 * Where both one digit and two would do, as in `DDMMYYYY`, the part takes two. There are 32 ways to try at most.
 */
function digitsIn(cell: string, at: number, pieces: readonly (TimePart | string)[], next: number): Digits | undefined {
  const piece = pieces[next];
  if (piece === undefined) return at === cell.length ? {} : undefined;
  if (typeof piece === 'string') {
    return cell.startsWith(piece, at) ? digitsIn(cell, at + piece.length, pieces, next + 1) : undefined;
  }
  for (let length: number = piece.most; length >= piece.least; length--) {
    const digits = cell.slice(at, at + length);
    if (digits.length < length || !/^\d+$/.test(digits)) continue;
    const others = digitsIn(cell, at + length, pieces, next + 1);
    if (others) return { ...others, [piece.name]: digits };
  }
  return undefined;
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
    return /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
  };
}
