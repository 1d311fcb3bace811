import { isUnit } from '../units.ts';
import type { DateOrder } from './time-cells.ts';

/** What a preset found in the first lines of a file. */
export interface FoundTable {
  /** How many lines stand before the data. */
  readonly headLines: number;
  readonly headers: readonly string[];
  /** What the line right above the data calls the columns, where `headers` have more than that. */
  readonly own?: readonly string[];
  /** By place; undefined: see the header. */
  readonly units?: readonly (string | undefined)[];
  /** Places of the column with the time, or of those with the date and the time of day. */
  readonly time: readonly number[];
  /** An offset such as `+02:00` that the file says its times have. */
  readonly zone?: string;
}

/** The form of the files of one kind of logger or program. */
export interface LoggerPreset {
  readonly name: string;
  /** For people: whose files it reads. */
  readonly label: string;
  /** Finds the table in the first lines, taken apart; undefined when they are not of this form. */
  readonly find: (lines: readonly (readonly string[])[]) => FoundTable | undefined;
  /** The order of dates where the file does not show which it is. */
  readonly order: DateOrder;
  readonly missing: readonly string[];
  readonly compass?: boolean;
  /** Metrics of its columns, by what is left of their headers without units and ports. */
  readonly metrics: Readonly<Record<string, string>>;
}

/** The header is looked for in so many lines. */
const MOST_ABOVE = 12;

const METER_METRICS = {
  'water content': 'soil_moisture',
  vwc: 'soil_moisture',
  'soil temperature': 'soil_temperature',
  'matric potential': 'soil_water_potential',
  'water potential': 'soil_water_potential',
  'bulk ec': 'ec',
  'ec bulk': 'ec',
  'saturation extract ec': 'pore_ec',
  'air temperature': 'air_temperature',
  'relative humidity': 'air_humidity',
  precipitation: 'rain',
  'max precip rate': 'rain_rate',
  'solar radiation': 'solar_radiation',
  'wind speed': 'wind_speed',
  'gust speed': 'wind_gust',
  'wind direction': 'wind_direction',
  'atmospheric pressure': 'air_pressure',
  vpd: 'vapour_pressure_deficit',
  'battery voltage': 'battery',
  'battery percent': 'battery_level',
};

const DAVIS_METRICS = {
  'temp out': 'air_temperature',
  temp: 'air_temperature',
  'out hum': 'air_humidity',
  hum: 'air_humidity',
  'dew pt.': 'dew_point',
  'dew point': 'dew_point',
  'wind speed': 'wind_speed',
  'avg wind speed': 'wind_speed',
  'hi speed': 'wind_gust',
  'high wind speed': 'wind_gust',
  'wind dir': 'wind_direction',
  'prevailing wind direction': 'wind_direction',
  bar: 'air_pressure',
  barometer: 'air_pressure',
  rain: 'rain',
  'rain rate': 'rain_rate',
  'high rain rate': 'rain_rate',
  'solar rad.': 'solar_radiation',
  'solar rad': 'solar_radiation',
};

const HOBO_METRICS = {
  temp: 'temperature',
  temperature: 'temperature',
  rh: 'air_humidity',
  'water content': 'soil_moisture',
  rain: 'rain',
  pressure: 'air_pressure',
  'solar radiation': 'solar_radiation',
  par: 'par',
  'wind speed': 'wind_speed',
  'gust speed': 'wind_gust',
  'wind direction': 'wind_direction',
  batt: 'battery',
  dewpt: 'dew_point',
};

export const PRESETS: readonly LoggerPreset[] = [
  {
    name: 'toa5',
    label: 'Campbell Scientific, TOA5 of LoggerNet and PC400',
    find: toa5,
    order: 'iso',
    missing: ['-7999', '-99999'],
    metrics: {},
  },
  {
    name: 'meter',
    label: 'METER, ZENTRA Cloud and ZENTRA Utility (ZL6, EM60)',
    find: (lines) => meter(lines, /^timestamps?$/i),
    order: 'month-first',
    missing: ['#N/A', '***'],
    metrics: METER_METRICS,
  },
  {
    name: 'em50',
    label: 'Decagon, ECH2O Utility and DataTrac (EM50)',
    find: (lines) => meter(lines, /^measurement time$/i),
    order: 'month-first',
    missing: ['***', '#N/A'],
    metrics: { ...METER_METRICS, temp: 'soil_temperature' },
  },
  {
    name: 'davis',
    label: 'Davis, WeatherLink .txt and weatherlink.com .csv',
    find: davis,
    order: 'month-first',
    missing: ['---', '--', '------'],
    compass: true,
    metrics: DAVIS_METRICS,
  },
  { name: 'hobo', label: 'Onset HOBO, HOBOware', find: hobo, order: 'month-first', missing: [], metrics: HOBO_METRICS },
];

/** `"TOA5",station,…`, then the names, the units, and what was made of the values. */
function toa5(lines: readonly (readonly string[])[]): FoundTable | undefined {
  const [about = [], headers = [], units = []] = lines;
  const time = headers.indexOf('TIMESTAMP');
  if (about[0] !== 'TOA5' || time === -1) return undefined;
  return { headLines: 4, headers, units, time: [time] };
}

/** The logger and its ports, the sensors, and the columns: `m³/m³ Water Content`. A port has several columns. */
function meter(lines: readonly (readonly string[])[], time: RegExp): FoundTable | undefined {
  const at = lines.slice(0, MOST_ABOVE).findIndex(([first = '']) => time.test(first));
  const names = lines[at];
  if (names === undefined) return undefined;
  const units = names.map(meterUnit);
  if (units.every((unit) => unit === undefined)) return undefined;
  const above = lines.slice(0, at).filter((cells) => cells.length === names.length);
  const headers = names.map((name, i) =>
    i === 0 ? name : [...above.map((cells) => cells[i] ?? ''), name].filter((text) => text !== '').join(' '),
  );
  return { headLines: at + 1, headers, own: names, units, time: [0] };
}

function meterUnit(name: string): string | undefined {
  const words = name.split(/\s+/, 8);
  // It writes the humidity as a share of 1.
  if (words[0] === 'RH') return 'ratio';
  return words.find((word) => word !== '' && isUnit(word) && (words.length > 1 || word.length > 1));
}

/** Two lines of names, with tabs; or one, with `Date & Time` and units behind a dash. */
function davis(lines: readonly (readonly string[])[]): FoundTable | undefined {
  const some = lines.slice(0, MOST_ABOVE);
  const at = some.findIndex(([first = '']) => /^date & time$/i.test(first));
  const headers = some[at];
  if (headers !== undefined) return { headLines: at + 1, headers, time: [0] };
  const below = some.findIndex(
    (cells, i) => i > 0 && cells[0] === 'Date' && cells[1] === 'Time' && isAbove(some[i - 1]),
  );
  const names = some[below];
  if (names === undefined) return undefined;
  const joined = names.map((name, i) => `${some[below - 1]?.[i] ?? ''} ${name}`.trim());
  return { headLines: below + 1, headers: joined, time: [0, 1] };
}

/** The first line of names has none above date and time. */
function isAbove(cells: readonly string[] = []): boolean {
  return cells[0] === '' && cells[1] === '' && cells.includes('Temp');
}

/** A title, then `"#","Date Time, GMT+02:00","Temp, °C (LGR S/N: …)"`. */
function hobo(lines: readonly (readonly string[])[]): FoundTable | undefined {
  const some = lines.slice(0, MOST_ABOVE);
  const isTime = (cell: string) => /^date time\b/i.test(cell);
  const at = some.findIndex((cells) => cells.some(isTime) || cells.some((cell) => /^time, GMT/i.test(cell)));
  const headers = some[at];
  if (headers === undefined) return undefined;
  const isTitled = some.slice(0, at).some(([first = '']) => /^plot title/i.test(first));
  if (!isTitled && headers[0] !== '#' && !headers.some((cell) => /\(LGR S\/N/.test(cell))) return undefined;
  const time = headers.findIndex(isTime);
  const places = time === -1 ? [headers.indexOf('Date'), headers.findIndex((cell) => /^time\b/i.test(cell))] : [time];
  if (places.includes(-1)) return undefined;
  const zone = /GMT\s?([+-]\d\d:?\d\d)/.exec(headers[places.at(-1) ?? 0] ?? '')?.[1];
  return { headLines: at + 1, headers, time: places, ...(zone === undefined ? {} : { zone }) };
}
