import { DAY, offsetsOf } from '../calendar.ts';
import { namesZone, readInstant, readInstants } from '../clock.ts';
import { instantOfMicros, microsOf } from '../instant.ts';

/** Longer cells are neither times nor numbers: no pattern is tried on them. */
export const MOST_CELL = 64;
/** Two-digit years below it are of this century, the others of the last one. */
const CENTURY = 69;

/** What a cell means: nothing, one instant, or two where the clocks showed the same time twice. */
export type CellTimes = readonly [first?: number, second?: number];
export type ReadTimes = (cell: string) => CellTimes;

/** In which order a date has its parts. `iso`: as ISO 8601, or a number of seconds or ms since 1970. */
export const DATE_ORDERS = ['iso', 'day-first', 'month-first'] as const;
export type DateOrder = (typeof DATE_ORDERS)[number];

/** The parts of a time that a format may name, and the least and most characters of each. */
const PARTS = [
  { name: 'YYYY', least: 4, most: 4 },
  { name: 'YY', least: 2, most: 2 },
  { name: 'MMM', least: 3, most: 3 },
  { name: 'MM', least: 1, most: 2 },
  { name: 'DD', least: 1, most: 2 },
  { name: 'HH', least: 1, most: 2 },
  { name: 'hh', least: 1, most: 2 },
  { name: 'mm', least: 1, most: 2 },
  { name: 'ss', least: 1, most: 2 },
  { name: 'A', least: 1, most: 4 },
] as const;
const MONTHS = 'jan feb mar apr may jun jul aug sep oct nov dec'.split(' ');

type TimePart = (typeof PARTS)[number];
type PartTexts = { readonly [name in TimePart['name']]?: string | undefined };

const HALF_OF_DAY = /^[ap](?:\.?m\.?)?$/i;
const WITH_HALF = /^(.*\d)\s?([ap])(?:\.?m\.?)?$/i;
const NUMERIC = /^(\d{1,4})([./-])(\d{1,2})[./-](\d{1,4})(?:[T ,]\s?(\d{1,2}):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?$/;
const CLOCK = /^\d{1,2}:\d\d(?::\d\d(?:[.,]\d{1,9})?)?\s?(?:[ap](?:\.?m\.?)?)?$/i;
const OFFSET = /^(?:Z|UTC|GMT|[+-]\d\d:?\d\d)$/i;

/** Whether a zone is an offset such as `+02:00`, which is no IANA zone. */
export function isOffset(zone: string): boolean {
  return OFFSET.test(zone);
}

/** Whether a cell is a time of day, such as `14:05`, `2:05 PM` or `2:05p`. */
export function isClock(cell: string): boolean {
  return cell.length <= MOST_CELL && CLOCK.test(cell);
}

/** Whether a cell is a date without a time of day. */
export function isDateOnly(cell: string): boolean {
  return cell.length <= MOST_CELL && /^\d{1,4}[./-]\d{1,2}[./-]\d{1,4}$/.test(cell);
}

/**
 * The orders that a date may be in: none for other texts, one where the date says it, two where day and month may
 * be either.
 */
export function ordersOf(cell: string): readonly DateOrder[] {
  const [, first = '', mark = '', second = '', third = ''] = NUMERIC.exec(withoutHalf(cell)[0]) ?? [];
  if (first === '' || first.length > 2 || !isYear(third, mark)) return [];
  const orders: DateOrder[] = [];
  if (Number(first) <= 31 && Number(second) <= 12) orders.push('day-first');
  if (mark !== '.' && Number(first) <= 12 && Number(second) <= 31) orders.push('month-first');
  return orders;
}

/** `22-08-16` may begin with its year as well: only a format says. */
function isYear(digits: string, mark: string): boolean {
  return digits.length === 4 || (digits.length === 2 && mark !== '-');
}

/** A cell without a.m. or p.m. at its end, and whether it was p.m.; undefined for neither. */
function withoutHalf(cell: string): readonly [text: string, isPm: boolean | undefined] {
  const found = cell.length <= MOST_CELL ? WITH_HALF.exec(cell) : null;
  if (!found?.[1]?.includes(':')) return [cell, undefined];
  return [found[1], found[2]?.toLowerCase() === 'p'];
}

/**
 * Returns a function that reads a cell as the instants that it may mean. `zone` is that of times that name none: an IANA
 * zone or an offset such as `+02:00`. Times with a.m. or p.m. and years of two digits (00 to 68 are of this century) are
 * read in any order.
 */
export function timesReader(zone: string, order: DateOrder): ReadTimes {
  const at = placed(zone);
  return (cell) => {
    if (cell.length > MOST_CELL) return [];
    if (isPlain(cell)) return order === 'iso' ? one(readInstant(Number(cell), 'UTC')) : [];
    if (namesZone(cell)) return one(readInstant(cell, 'UTC'));
    const [text, isPm] = withoutHalf(cell);
    const found = NUMERIC.exec(text);
    if (!found) return order === 'iso' && isPm === undefined ? at(cell) : [];
    const [, first = '', mark = '', second = '', third = '', HH, mm, ss, fraction] = found;
    const isYearFirst = first.length === 4;
    if (isYearFirst ? third.length > 2 : order === 'iso' || !isYear(third, mark)) return [];
    const [YYYY, MM, DD] = isYearFirst
      ? [first, second, third]
      : order === 'day-first'
        ? [third, second, first]
        : [third, first, second];
    return at(isoOf({ YYYY, MM, DD, HH, mm, ss }, isPm, fraction));
  };
}

/**
 * As `timesReader`, for a format such as `DD.MM.YYYY HH:mm`. `A` is a.m. or p.m.; where the format does not name it, it
 * may stand at the end all the same, and so may seconds. Throws Error when the format lacks year, month or day, or names
 * a part twice.
 */
export function formatReader(zone: string, format: string): ReadTimes {
  const pieces = piecesOf(format);
  const names = (...parts: TimePart['name'][]) => pieces.some((piece) => parts.some((name) => isPart(piece, name)));
  if (!names('YYYY', 'YY')) throw new Error('there is no YYYY in it');
  if (!names('MM', 'MMM')) throw new Error('there is no MM in it');
  if (!names('DD')) throw new Error('there is no DD in it');
  const at = placed(zone);
  const mayHaveSeconds = !names('ss') && isPart(pieces.at(-1), 'mm');
  return (cell) => {
    if (cell.length > MOST_CELL) return [];
    const [text, isPm] = names('A') ? ([cell, undefined] as const) : withoutHalf(cell);
    const [, whole = text, more] = (mayHaveSeconds ? /^(.*:\d\d):(\d\d)$/.exec(text) : null) ?? [];
    const found = partsIn(whole, 0, pieces, 0) ?? partsIn(text, 0, pieces, 0);
    if (!found) return [];
    const half = found.A === undefined ? isPm : /^p/i.test(found.A);
    return at(isoOf(more === undefined ? found : { ...found, ss: more }, half));
  };
}

/** Reads a date of ISO 8601 without a zone at a place: one that its clocks skipped in spring is none. */
function placed(zone: string): (iso: string | undefined) => CellTimes {
  if (!isOffset(zone)) return placedIn(zone);
  const offset = /^[a-z]/i.test(zone) ? 'Z' : zone;
  return (iso) => {
    if (iso === undefined) return [];
    return one(readInstant(iso.length > 10 ? `${iso}${offset}` : `${iso}T00:00${offset}`, 'UTC'));
  };
}

function placedIn(zone: string): (iso: string | undefined) => CellTimes {
  const offset = offsetsOf(zone);
  // Looking up an offset takes longer than all else; on most days it does not change.
  let day = Number.NaN;
  let steady: number | undefined;
  return (iso) => {
    const local = iso === undefined ? undefined : readInstant(`${iso}Z`, 'UTC');
    if (iso === undefined || local === undefined) return [];
    const on = Math.floor(local / DAY);
    if (on !== day) {
      day = on;
      const [before, after] = [offset((on - 1) * DAY), offset((on + 2) * DAY)];
      steady = before === after ? before : undefined;
    }
    if (steady !== undefined) return [instantOfMicros(microsOf(local) - steady * 1_000)];
    const times = readInstants(iso, zone);
    const [first, second] = times;
    // A date without a time of day is that day, also where its midnight was skipped.
    if (first === undefined || second !== undefined || local % DAY === 0) return times;
    return first + offset(first) === local ? times : [];
  };
}

function one(time: number | undefined): CellTimes {
  return time === undefined ? [] : [time];
}

function isoOf(parts: PartTexts, isPm: boolean | undefined, fraction?: string): string | undefined {
  const { MMM, DD = '', ss = '0' } = parts;
  const month = MMM === undefined ? Number(parts.MM) : MONTHS.indexOf(MMM.toLowerCase()) + 1;
  const hour = hourOf(Number(parts.HH ?? parts.hh ?? 0), isPm ?? (parts.hh === undefined ? undefined : false));
  if (hour === undefined) return undefined;
  const clock = `${two(hour)}:${two(parts.mm ?? '0')}:${two(ss)}`;
  return `${yearOf(parts)}-${two(month)}-${two(DD)}T${clock}${fraction === undefined ? '' : `.${fraction}`}`;
}

function yearOf({ YYYY, YY }: PartTexts): string {
  const year = YYYY ?? YY ?? '';
  if (year.length !== 2) return year;
  return Number(year) < CENTURY ? `20${year}` : `19${year}`;
}

/** The hour of the day; undefined when a clock of twelve hours does not show it. */
function hourOf(shown: number, isPm: boolean | undefined): number | undefined {
  if (isPm === undefined) return shown;
  if (shown > 12) return undefined;
  return (shown % 12) + (isPm ? 12 : 0);
}

function two(digits: string | number): string {
  return String(digits).padStart(2, '0');
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

function isPart(piece: TimePart | string | undefined, name: TimePart['name']): boolean {
  return typeof piece === 'object' && piece.name === name;
}

/**
 * The text of each part, when `cell` from `at` on is written as the pieces from `next` on say; undefined when it is not.
 * Where both one character and two would do, as in `DDMMYYYY`, the part takes two. There are 128 ways to try at most.
 */
function partsIn(
  cell: string,
  at: number,
  pieces: readonly (TimePart | string)[],
  next: number,
): PartTexts | undefined {
  const piece = pieces[next];
  if (piece === undefined) return at === cell.length ? {} : undefined;
  if (typeof piece === 'string') {
    return cell.startsWith(piece, at) ? partsIn(cell, at + piece.length, pieces, next + 1) : undefined;
  }
  for (let length: number = piece.most; length >= piece.least; length--) {
    const text = cell.slice(at, at + length);
    if (text.length < length || !fits(piece, text)) continue;
    const others = partsIn(cell, at + length, pieces, next + 1);
    if (others) return { ...others, [piece.name]: text };
  }
  return undefined;
}

function fits({ name }: TimePart, text: string): boolean {
  if (name === 'A') return HALF_OF_DAY.test(text);
  return name === 'MMM' ? MONTHS.includes(text.toLowerCase()) : /^\d+$/.test(text);
}

function isPlain(cell: string): boolean {
  return /^-?\d+(?:\.\d+)?$/.test(cell);
}
