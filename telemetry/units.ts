import { UNIT_GROUPS } from './unit-table.ts';

/**
 * A value is converted when its payload is decoded, so that a metric has one unit everywhere. Each unit is `factor × value + offset` in the unit of factor 1 of its quantity.
 */
interface Unit {
  readonly group: string;
  /** What it measures: the group's name up to a comma. */
  readonly quantity: string;
  readonly factor: number;
  readonly offset: number;
}

/** Longer texts are no units, and not searched: a payload can repeat one for thousands of values. */
const MOST_SYMBOL = 32;

const UNITS = new Map<string, Unit>();
const FOLDED = new Map<string, Unit | undefined>();
for (const [group, rows] of Object.entries(UNIT_GROUPS)) {
  const [quantity = group] = group.split(',', 1);
  for (const [symbols, factor, offset = 0] of rows) {
    for (const symbol of symbols.split(' ')) {
      const unit = { group, quantity, factor, offset };
      UNITS.set(plain(symbol), unit);
      // A symbol that is not listed in its case is read without case, unless `mWh` or `MWh` could be meant.
      const folded = plain(symbol).toLowerCase();
      const other = FOLDED.has(folded) ? FOLDED.get(folded) : unit;
      FOLDED.set(folded, other?.group === group && other.factor === factor ? other : undefined);
    }
  }
}

/** `y = factor × x + offset`. */
export interface Conversion {
  readonly factor: number;
  readonly offset: number;
}

export const UNCHANGED: Conversion = { factor: 1, offset: 0 };

/** Whether Loam knows the unit. */
export function isUnit(symbol: string): boolean {
  return find(symbol) !== undefined;
}

/** How a value in `from` becomes one in `to`; undefined when the two measure different things or one of them is unknown. */
export function conversion(from: string, to: string): Conversion | undefined {
  if (from.length > MOST_SYMBOL || to.length > MOST_SYMBOL) return undefined;
  if (plain(from) === plain(to)) return UNCHANGED;
  const a = find(from);
  const b = find(to);
  if (!a || !b || a.quantity !== b.quantity) return undefined;
  // Converts directly: a detour over the group's first unit would add its rounding.
  return { factor: a.factor / b.factor, offset: (a.offset - b.offset) / b.factor };
}

/** The first unit of `symbol`'s group: values of a metric that nobody has given a unit are kept in it. Undefined for an unknown unit. */
export function groupUnit(symbol: string): string | undefined {
  const group = find(symbol)?.group;
  return group === undefined ? undefined : UNIT_GROUPS[group]?.[0]?.[0].split(' ', 1)[0];
}

/** A converted value, without the noise that floating point adds in the sixteenth digit. */
export function convert(value: number, { factor, offset }: Conversion): number {
  if (factor === 1 && offset === 0) return value;
  return Number((value * factor + offset).toPrecision(14));
}

function find(symbol: string): Unit | undefined {
  if (symbol.length > MOST_SYMBOL) return undefined;
  const key = plain(symbol);
  return UNITS.get(key) ?? FOLDED.get(key.toLowerCase());
}

/** One spelling for `m³/m³` and `m3/m3`, `℃` and `°C`, `µ` and `μ`, `m³⋅m⁻³` and `m3 m-3`. */
function plain(symbol: string): string {
  return symbol
    .normalize('NFKC')
    .replace(/[−–]/g, '-')
    .replace(/[\s⋅·*^]/g, '')
    .replace(/μ/g, 'µ')
    .replace(/′′|”/g, '"')
    .replace(/[′’]/g, "'")
    .replace(/º/g, '°');
}
