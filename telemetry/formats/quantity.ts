import { isUnit } from '../units.ts';

/** A number that a text holds, and the unit that stands behind it. */
export interface Quantity {
  readonly number: number;
  readonly unit: string | undefined;
}

/** Longer texts are no quantities; no pattern looks at them. */
const MOST_QUANTITY = 64;

// In each of these patterns a character can belong to one part only: none takes longer than its text is long.
const NUMBER = /^[+\-−–]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+\-−]?\d{1,4}(?!\d))?/;
const GROUPED = /^[+\-−–]?\d[\d.,]*/;
const DECIMAL_COMMA = /^[+\-−–]?\d+(?:\.\d{3})*,\d+$/;
const COMMA_OF_THOUSANDS = /^[+\-−–]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$/;
/** `1 013.2`, `1'013,2`, `1.000.000`, `1.2·10³`, `1.2x10^3`: numbers, where a unit that Loam knows is behind them. */
const OTHERWISE = new RegExp(
  [
    String.raw`^[+\-−–]?\d{1,3}(?:[ '’\u00a0\u202f]\d{3})+(?:[.,]\d+)?(?![\d.,:])`,
    String.raw`^[+\-−–]?\d{1,3}(?:\.\d{3}){2,}(?![\d.,:])`,
    String.raw`^[+\-−–]?\d+(?:[.,]\d+)?\s?[x×·*]\s?10(?:\^?[+\-−]?\d{1,2}|[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)`,
  ].join('|'),
);
const INVISIBLE = /[\u200b-\u200f\u2060\ufeff]/g;
/** A serial number such as `241408E4`: whoever means an exponent writes one digit, decimals, or a sign in it. */
const SERIAL = /^\d{2,}[eE]\d+$/;
const HEX = /^(?:(?:0x)?[\da-f]+|[\da-f]{2}(?:[ :-][\da-f]{2}){2,})$/i;

/**
 * The quantity in a text, as people write them: `30.11 °C`, `-3`, `1.2e3 lx`, `12 µg/m³`. Its unit need not be one that Loam knows.
 * `comma` when its number has one, which may stand before decimals or between thousands, or is otherwise written as no machine reads it.
 * Undefined: it is another text,
 * such as a date, a version, an address, a serial number or a sentence.
 */
export function quantityIn(text: string): Quantity | 'comma' | undefined {
  if (text.length > 2 * MOST_QUANTITY) return undefined;
  const given = text.replace(INVISIBLE, '').trim();
  if (given.length > MOST_QUANTITY) return undefined;
  const otherwise = OTHERWISE.exec(given)?.[0];
  if (otherwise !== undefined && isUnit(bare(given.slice(otherwise.length)))) return 'comma';
  const number = NUMBER.exec(given)?.[0];
  if (number === undefined) return undefined;
  const grouped = GROUPED.exec(given)?.[0] ?? '';
  if (DECIMAL_COMMA.test(grouped) || COMMA_OF_THOUSANDS.test(grouped)) {
    return isWithUnit(given, grouped) ? 'comma' : undefined;
  }
  if (!isWithUnit(given, number)) return undefined;
  const unit = bare(given.slice(number.length));
  return { number: Number(number.replace(/[−–]/g, '-')), unit: unit === '' ? undefined : unit };
}

/** Whether what stands behind `number` in a text is nothing, a unit that Loam knows, or what looks like one. */
function isWithUnit(given: string, number: string): boolean {
  const rest = given.slice(number.length);
  const unit = bare(rest);
  if (unit === '') return !SERIAL.test(number);
  const isHex = HEX.test(given);
  if (isHex && given.length >= LONG_HEX) return false;
  if (isUnit(unit)) return true;
  if (isHex || SERIAL.test(number) || NO_UNIT.test(unit) || NETWORK.test(given)) return false;
  return looksLikeUnit(unit, rest === unit && /^\d+$/.test(number));
}

/** A unit without what people write around it: the brackets of a known one, the temperature that it is said for, a full stop. */
function bare(rest: string): string {
  const unit = rest
    .trim()
    .replace(/(?:\bat|@) ?\d{1,2} ?°?[CF]$/, '')
    .replace(/[.,;!]$/, '')
    .trim();
  const inside = /^(?:\((.*)\)|\[(.*)\])$/.exec(unit);
  const inner = inside?.[1] ?? inside?.[2];
  return inner !== undefined && isUnit(inner) ? inner : unit;
}

function looksLikeUnit(unit: string, isGlued: boolean): boolean {
  if (unit.length > MOST_UNIT || unit.startsWith('(')) return false;
  const bare = unit.replace(/[()]/g, '');
  return isGlued ? GLUED.test(bare) : APART.test(bare) && bare.split(/\s/).length <= MOST_WORDS;
}

const MOST_UNIT = 32;
const MOST_WORDS = 3;
/** From here on hex is no number with the unit A, C, d or F behind it. */
const LONG_HEX = 8;

/** Of the time, ordinals, factors, and what follows the number of a version. */
const NO_UNIT = /^(?:[ap]\.?m|st|nd|rd|th|x|(?:[ab]|rc|alpha|beta|dev|pre|rev)\d?)$/i;
const NETWORK = /^[2-5]G$/;

const LETTER = String.raw`[\p{L}%‰°º℃℉]`;
const RAISED = '[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉]';

/** Behind a space or decimals: `inHg`, `mm H2O`, `µg m⁻³`, `kg.m-2`, `/min`. No two digits in a row, which serial numbers have. */
const APART = new RegExp(
  String.raw`^(?:/ ?)?${LETTER}(?:${LETTER}|${RAISED}|[\^·⋅*/−-]|\d(?!\d)|\.(?=[\p{L}-])|\s(?=\p{L}))*$`,
  'u',
);

/** Straight behind a whole number, where serial numbers begin the same way: digits are there only as powers of a length or a time. */
const FACTOR = String.raw`(?:(?:[cdkm]?m|ft|in|yd|s|h)\^?[-−]?[1-4]|${LETTER}+${RAISED}*)`;
const GLUED = new RegExp(String.raw`^/?${FACTOR}(?:[·⋅*/.\s]${FACTOR})*$`, 'u');
