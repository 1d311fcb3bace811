import { conversion, convert, isUnit } from '../units.ts';
import { MOST_CELL } from './time-cells.ts';

/** What loggers and spreadsheets write where there is no value, in small letters. */
const NO_VALUE: ReadonlySet<string> = new Set(
  [
    '',
    '-',
    '--',
    '---',
    '----',
    '–',
    '—',
    '*',
    '**',
    '***',
    'nan',
    'na',
    'n/a',
    'n.a.',
    'null',
    'none',
    'nil',
    'inf',
    '-inf',
    '+inf',
    'infinity',
    '-infinity',
  ]
    .concat([
      '#n/a',
      '#na',
      '#nv',
      '#n/v',
      '#null!',
      '#value!',
      '#wert!',
      '#div/0!',
      '#ref!',
      '#bezug!',
      '#num!',
      '#zahl!',
      '#name?',
      '1.#qnan',
      '-1.#ind',
      '1.#inf',
    ])
    .concat(['missing', 'no data', 'nodata']),
);
const POINTS = 'n nne ne ene e ese se sse s ssw sw wsw w wnw nw nnw'.split(' ');

/** Reads a cell as a number: `missing` where it says that there is none, undefined for any other text. */
export type ReadNumber = (cell: string) => number | 'missing' | undefined;

/** What stands before the decimals in a cell; undefined when the cell does not say. */
export function decimalMarkOf(cell: string): '.' | ',' | undefined {
  if (cell.length > MOST_CELL || !/^[+-]?[\d.,]*[.,]\d+$/.test(cell)) return undefined;
  const [comma, point] = [cell.lastIndexOf(','), cell.lastIndexOf('.')];
  const mark = comma > point ? ',' : '.';
  if (comma !== -1 && point !== -1) return mark;
  if (cell.indexOf(mark) !== cell.lastIndexOf(mark)) return mark === ',' ? '.' : ',';
  // Three digits behind a mark may be thousands, unless the number begins with 0.
  const isThousands = cell.length - Math.max(comma, point) === 4 && !/^[+-]?0?[.,]/.test(cell);
  return isThousands ? undefined : mark;
}

export interface NumberRules {
  /** The decimals follow a comma. */
  readonly comma: boolean;
  /** Further texts and numbers that mean that there is no value. */
  readonly missing?: readonly string[];
  /** The unit that the numbers of the column are in: a cell with another of its group is converted. */
  readonly unit?: string | undefined;
  /** Points of the compass are degrees: `NNW` is 337.5. */
  readonly compass?: boolean;
}

/** Returns a reader of number cells. */
export function numbersReader({ comma, missing = [], unit, compass = false }: NumberRules): ReadNumber {
  const plain = numberReader(comma);
  const texts = new Set(missing.map((text) => text.toLowerCase()));
  // `Number('')` is 0, which is a measurement.
  const numbers = new Set(missing.filter((text) => text.trim() !== '').map(Number));
  return (cell) => {
    const number = plain(cell);
    if (number !== undefined) return numbers.has(number) ? 'missing' : number;
    if (cell.length > MOST_CELL) return undefined;
    const text = cell.toLowerCase();
    if (NO_VALUE.has(text) || texts.has(text)) return 'missing';
    if (compass && POINTS.includes(text)) return POINTS.indexOf(text) * 22.5;
    return withUnit(cell, plain, unit);
  };
}

/** A number with its unit behind it, in the column's unit; undefined when it cannot be that. */
function withUnit(cell: string, plain: (cell: string) => number | undefined, unit: string | undefined) {
  const [, number = '', own = ''] = /^([+-]?[\d.,]+)\s?([^\d.,\s].*)/.exec(cell) ?? [];
  if (unit === undefined || own === '' || !isUnit(own)) return undefined;
  const value = plain(number);
  const into = conversion(own, unit);
  return value === undefined || into === undefined ? undefined : convert(value, into);
}

/**
 * Returns a reader of numbers: undefined for any other cell. With `comma` the decimals follow a comma, and points stand
 * between thousands; where a point may be either, as in `1.031`, it is no number.
 */
export function numberReader(comma: boolean): (cell: string) => number | undefined {
  return (cell) => {
    if (cell.length > MOST_CELL) return undefined;
    const text = comma ? withPoint(cell) : withoutThousands(cell);
    return /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i.test(text) ? Number(text) : undefined;
  };
}

function withPoint(cell: string): string {
  if (!cell.includes(',')) return /^[+-]?[1-9]\d{0,2}(?:\.\d{3})+$/.test(cell) ? '' : cell;
  const bare = /^[+-]?\d{1,3}(?:\.\d{3})+,\d+$/.test(cell) ? cell.replaceAll('.', '') : cell;
  return bare.includes('.') ? '' : bare.replace(',', '.');
}

function withoutThousands(cell: string): string {
  return /^[+-]?\d{1,3}(?:,\d{3})+\.\d+$/.test(cell) ? cell.replaceAll(',', '') : cell;
}
