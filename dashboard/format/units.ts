export type UnitSystem = 'metric' | 'imperial';

/** A metric in the units of the reader. `of` turns a stored value into a shown one. */
export interface ShownMetric {
  readonly unit: string;
  readonly decimals: number | undefined;
  readonly min: number | undefined;
  readonly max: number | undefined;
  readonly of: (value: number) => number;
}

interface Described {
  readonly unit: string;
  readonly decimals: number | undefined;
  readonly min: number | undefined;
  readonly max: number | undefined;
}

interface DisplayUnit {
  readonly unit: string;
  readonly factor: number;
  readonly offset?: number;
  /** How many more (or fewer) decimals say the same. */
  readonly places?: number;
}

/** Units that growers in the United States read otherwise; all others (%, dBm, V, mS/cm) are the same everywhere. */
const IMPERIAL: Readonly<Record<string, DisplayUnit>> = {
  '°C': { unit: '°F', factor: 1.8, offset: 32 },
  mm: { unit: 'in', factor: 1 / 25.4, places: 1 },
  'mm/h': { unit: 'in/h', factor: 1 / 25.4, places: 1 },
  cm: { unit: 'in', factor: 1 / 2.54 },
  m: { unit: 'ft', factor: 1 / 0.3048 },
  'm/s': { unit: 'mph', factor: 2.236936 },
  'km/h': { unit: 'mph', factor: 0.621371 },
  hPa: { unit: 'inHg', factor: 0.02953, places: 1 },
  kPa: { unit: 'psi', factor: 0.1450377, places: 1 },
  l: { unit: 'gal', factor: 0.2641721 },
  L: { unit: 'gal', factor: 0.2641721 },
  'l/min': { unit: 'gal/min', factor: 0.2641721, places: 1 },
  m3: { unit: 'gal', factor: 264.1721, places: -1 },
  'm³': { unit: 'gal', factor: 264.1721, places: -1 },
  kg: { unit: 'lb', factor: 2.204623 },
};

/** How a metric is shown in `system`. */
export function inUnits(metric: Described, system: UnitSystem): ShownMetric {
  const { unit, decimals, min, max } = metric;
  const to = system === 'imperial' && Object.hasOwn(IMPERIAL, unit) ? IMPERIAL[unit] : undefined;
  if (to === undefined) return { unit, decimals, min, max, of: same };
  const of = (value: number) => value * to.factor + (to.offset ?? 0);
  return {
    unit: to.unit,
    decimals: decimals === undefined ? undefined : Math.max(0, decimals + (to.places ?? 0)),
    min: min === undefined ? undefined : of(min),
    max: max === undefined ? undefined : of(max),
    of,
  };
}

function same(value: number): number {
  return value;
}

/** What readers of `locale` expect: the United States, Liberia and Myanmar measure in inches and Fahrenheit. */
export function systemOf(locale: string | undefined): UnitSystem {
  try {
    const region = new Intl.Locale(locale ?? 'und').maximize().region ?? '';
    const named = (locale ?? '').includes('-');
    return named && ['US', 'LR', 'MM'].includes(region) ? 'imperial' : 'metric';
  } catch {
    return 'metric';
  }
}
