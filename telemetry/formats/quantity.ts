import { groupUnit, isUnit } from '../units.ts';

/** A number that a text holds, and the unit that stands behind it. */
export interface Quantity {
  readonly number: number;
  readonly unit: string | undefined;
}

/** Longer texts are no quantities, whatever is in them, and no pattern is tried on them. */
const MOST_QUANTITY = 64;

const NUMBER = /^[+\-−–]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+\-−]?\d{1,4})?/;
const GROUPED = /^[+\-−–]?\d[\d.,]*/;
const DECIMAL_COMMA = /^[+\-−–]?\d+(?:\.\d{3})*,\d+$/;
const COMMA_OF_THOUSANDS = /^[+\-−–]?\d{1,3}(?:,\d{3})+(?:\.\d+)?$/;
/** Other spellings, read only before a known unit: `1 013.2`, `1'013,2`, `1.000.000`, `1.2·10³`, `1.2x10^3`. */
const OTHERWISE = [
  /^[+\-−–]?\d{1,3}(?:[ '’\u00a0\u202f]\d{3})+(?:[.,]\d+)?/,
  /^[+\-−–]?\d{1,3}(?:\.\d{3}){2,}/,
  /^[+\-−–]?\d+(?:[.,]\d+)?\s?[x×·*]\s?10(?:\^?[+\-−]?\d{1,2}|[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+)/,
] as const;
const INVISIBLE = /[\u200b-\u200f\u2060\ufeff]/g;
/** A serial number such as `241408E4`. Real exponents have one digit before them, decimals, or a sign. */
const SERIAL = /^\d{2,}[eE]\d+$/;
const HEX = /^(?:(?:0x)?[\da-f]+|[\da-f]{2}(?:[ :-][\da-f]{2}){2,})$/i;

/** Before a number: a limit, an estimate, money. */
const ABOUT = /^(?:[<>≤≥~≈±=\p{Sc}]{1,2}|(?:ca|approx|about|circa)[. ])\s*/iu;
const TOLERANCE = /^(?:±|\+\/-|\+-)\s?[\d.]/;
const BEGINS_NUMBER = /^[+\-−–]?[\d.]/;
/** As in `l/10min`. */
const OF_UNIT = /^\/\d{1,3}\p{L}/u;
const SEPARATORS = ' \t\u00a0,;|/';

/**
 * The quantity in a text, as people write it: `30.11 °C`, `-3`, `1.2e3 lx`, `12 µg/m³`. Loam need not know its unit.
 * `comma`: a quantity that no machine can read for certain. Its number has a comma, which may stand before decimals or
 * between thousands, or is spelt in another way; it is a limit (`<0.05 mg/L`), has a tolerance, or is one of several.
 * Undefined: another text, such as a date, a version, an address, a serial number or a sentence.
 */
export function quantityIn(text: string): Quantity | 'comma' | undefined {
  if (text.length > MOST_QUANTITY) return undefined;
  const given = text.replace(INVISIBLE, '').trim();
  const about = ABOUT.exec(given)?.[0];
  if (about !== undefined) return plainQuantityIn(given.slice(about.length)) === undefined ? undefined : 'comma';
  return plainQuantityIn(given);
}

function plainQuantityIn(given: string): Quantity | 'comma' | undefined {
  const number = NUMBER.exec(given)?.[0];
  if (number === undefined) return undefined;
  if (isWrittenOtherwise(given)) return 'comma';
  const grouped = GROUPED.exec(given)?.[0] ?? '';
  if (DECIMAL_COMMA.test(grouped) || COMMA_OF_THOUSANDS.test(grouped)) {
    return isWithUnit(given, grouped) ? 'comma' : undefined;
  }
  if (isOneOfSeveral(given.slice(number.length).trim())) return 'comma';
  if (!isWithUnit(given, number)) return undefined;
  const unit = bare(given.slice(number.length));
  return { number: Number(number.replace(/[−–]/g, '-')), unit: unit === '' ? undefined : unit };
}

/** Whether what follows a number has another one in it, which is no part of a unit: a tolerance, or the next value. Spans such as `5 days 3 hours` are no measurement. */
function isOneOfSeveral(rest: string): boolean {
  for (let at = 0; at < rest.length; at++) {
    const unit = rest.slice(0, at).trim();
    if (TOLERANCE.test(rest.slice(at, at + 8))) return unit === '' || isUnit(unit);
    const next = rest.slice(at + 1).trimStart();
    if (!SEPARATORS.includes(rest.charAt(at)) || !BEGINS_NUMBER.test(next) || OF_UNIT.test(rest.slice(at))) continue;
    return isUnit(unit) && groupUnit(unit) !== 's' && !isUnit(bare(rest));
  }
  return false;
}

function isWrittenOtherwise(given: string): boolean {
  for (const spelling of OTHERWISE) {
    const number = spelling.exec(given)?.[0];
    if (number !== undefined) return isUnit(bare(given.slice(number.length)));
  }
  return false;
}

/** Whether `number` in a text is followed by nothing, a unit that Loam knows, or what looks like a unit. */
function isWithUnit(given: string, number: string): boolean {
  const rest = given.slice(number.length);
  const unit = bare(rest);
  if (unit === '') return !SERIAL.test(number);
  const isHex = HEX.test(given);
  if (isHex && given.length >= LONG_HEX) return false;
  if (NETWORK.test(given)) return false;
  if (isUnit(unit)) return true;
  if (isHex || SERIAL.test(number) || NO_UNIT.test(unit)) return false;
  return looksLikeUnit(unit, rest === unit && /^\d+$/.test(number));
}

/** A unit without the brackets of a known one, its reference temperature (`… at 25 °C`) and punctuation at its end. */
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
  if (isGlued) return (bare.startsWith('/') ? bare.slice(1) : bare).split(BETWEEN).every((part) => FACTOR.test(part));
  return APART.test(bare) && bare.split(/\s/).length <= MOST_WORDS;
}

const MOST_UNIT = 32;
const MOST_WORDS = 3;
/** From this length on, hex digits are not read as a number with the unit A, C, d or F. */
const LONG_HEX = 8;

/** No units: a.m. and p.m., ordinals, factors, months, and what follows the number of a version. Other words may be units that Loam does not know. */
const NO_UNIT =
  /^(?:[ap]\.?m|st|nd|rd|th|x|release|version|build|(?:[ab]|rc|alpha|beta|dev|pre|rev)\d?|jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)$/i;
const NETWORK = /^[2-5]G$/;

/** A unit after a space or decimals: `inHg`, `mm H2O`, `µg m⁻³`, `/min`. Two digits in a row are of a serial number. */
const APART =
  /^(?:\/ ?)?[\p{L}\p{Sc}%‰°º℃℉"″](?:\d?(?:[\p{L}\p{Sc}%‰°º℃℉"″⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉^·⋅*/−-]|\.[\p{L}-]|\s\p{L})|\/\d{2,3}\p{L})*\d?$/u;

/**
 * A part of a unit directly after a whole number, as in serial numbers: its digits may only be powers of a length or a
 * time.
 */
const FACTOR =
  /^(?:(?:[cdkm]?m|ft|in|yd|s|h)\^?[-−]?[1-4]|\d{1,3}(?:s|min|h|d)|[\p{L}\p{Sc}%‰°º℃℉"″]+[⁺⁻⁰¹²³⁴⁵⁶⁷⁸⁹₀₁₂₃₄₅₆₇₈₉]*)$/u;
const BETWEEN = /[·⋅*/.\s]/;
