/**
 * Units, grouped by what they measure. A value is converted when its payload is decoded, so that a metric has one unit
 * everywhere. Each unit is `factor × value + offset` in the first unit of its group.
 */
interface Unit {
  readonly group: string;
  readonly factor: number;
  readonly offset: number;
}

type UnitRow = readonly [symbols: string, factor: number, offset?: number];

const GROUPS: Readonly<Record<string, readonly UnitRow[]>> = {
  temperature: [
    ['°C C Cel degC celsius', 1],
    ['°F F degF fahrenheit', 5 / 9, -160 / 9],
    ['K kelvin', 1, -273.15],
  ],
  // A ratio such as m³/m³ or SenML's "/" is multiplied by 100: 0.3 is 30 %.
  share: [
    ['% %RH %VWC %EL percent pct', 1],
    ['m3/m3 m3m-3 cm3/cm3 v/v / ratio', 100],
    ['‰ permille', 0.1],
  ],
  conductivity: [
    ['mS/cm dS/m mmho/cm mScm-1 dSm-1', 1],
    ['µS/cm uS/cm µScm-1 uScm-1', 0.001],
    ['S/m', 10],
    ['mS/m', 0.01],
    ['S/cm', 1000],
  ],
  pressure: [
    ['kPa cbar cb J/kg', 1],
    ['Pa', 0.001],
    ['hPa mbar', 0.1],
    ['bar', 100],
    ['MPa', 1000],
    ['mPa', 1e-6],
    ['psi', 6.894757293168],
  ],
  voltage: [
    ['V volt volts', 1],
    ['mV', 0.001],
  ],
  current: [
    ['A', 1],
    ['mA', 0.001],
  ],
  power: [
    ['W', 1],
    ['mW', 0.001],
    ['kW', 1000],
  ],
  length: [
    ['mm l/m2', 1],
    ['cm', 10],
    ['m', 1000],
    ['in inch', 25.4],
  ],
  speed: [
    ['m/s ms-1', 1],
    ['km/h kph', 1 / 3.6],
    ['mph', 0.44704],
    ['kn', 1.852 / 3.6],
  ],
  rainfall: [
    ['mm/h mmh-1', 1],
    ['in/h', 25.4],
  ],
  photons: [['µmol/m2/s umol/m2/s µmolm-2s-1 umolm-2s-1 umol/(m2s) µmol/(m2s) µmol/s/m2', 1]],
  irradiance: [['W/m2 Wm-2', 1]],
  light: [['lx lux', 1]],
  angle: [
    ['° deg degree degrees', 1],
    ['rad', 180 / Math.PI],
  ],
  duration: [
    ['s sec second seconds', 1],
    ['ms', 0.001],
    ['min minute minutes', 60],
    ['h hr hour hours', 3600],
    ['d day days', 86_400],
  ],
  concentration: [
    ['ppm', 1],
    ['ppb', 0.001],
  ],
  mass: [['mg/kg', 1]],
  power_level: [['dBm dBW', 1]],
  level: [['dB', 1]],
  acidity: [['pH', 1]],
  count: [['count counts', 1]],
  frequency: [['Hz', 1]],
};

/** Longer texts are no units, and not searched: a payload can repeat one for thousands of values. */
const MOST_SYMBOL = 32;

const UNITS = new Map<string, Unit>();
const FOLDED = new Map<string, Unit>();
for (const [group, rows] of Object.entries(GROUPS)) {
  for (const [symbols, factor, offset = 0] of rows) {
    for (const symbol of symbols.split(' ')) {
      UNITS.set(plain(symbol), { group, factor, offset });
      // A symbol that is not listed in its case is read without case, as the first listed one that then matches.
      const folded = plain(symbol).toLowerCase();
      if (!FOLDED.has(folded)) FOLDED.set(folded, { group, factor, offset });
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
  if (!a || !b || a.group !== b.group) return undefined;
  // Converts directly: a detour over the group's first unit would add its rounding.
  return { factor: a.factor / b.factor, offset: (a.offset - b.offset) / b.factor };
}

/** The first unit of `symbol`'s group: values of a metric without a description are kept in it. */
export function groupUnit(symbol: string): string | undefined {
  const group = find(symbol)?.group;
  return group === undefined ? undefined : GROUPS[group]?.[0]?.[0].split(' ', 1)[0];
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
    .replace(/º/g, '°');
}
