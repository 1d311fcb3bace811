import { z } from 'zod';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { refuseZone } from '../telemetry/calendar.ts';
import { metricName } from '../telemetry/formats/metric-name.ts';
import { isUnit } from '../telemetry/units.ts';
import type { Api } from './api.ts';
import { numberReader, type ReadCell, timeReader, twiceReader } from './import-cells.ts';
import { type CsvShape, shapeOf } from './import-file.ts';
import { type Options, text } from './options.ts';

const farmsAnswer = z.object({ farms: z.array(z.object({ id: z.string(), timezone: z.string() })) });

/** How a file is read, and which sensor its readings are of. */
export interface ImportPlan {
  readonly path: string;
  readonly shape: CsvShape;
  readonly sensor: string;
  readonly farm: string;
  /** The IANA zone of times that name none. */
  readonly zone: string;
  readonly time: string;
  /** Column names, each with the metric it is mapped to. */
  readonly columns: ReadonlyMap<string, string>;
  readonly units: Readonly<Record<string, string>>;
  readonly readTime: ReadCell;
  /** Whether the clocks showed a cell's time twice and the cell does not say which is meant. `ts` is its Unix ms. */
  readonly isTwice: (cell: string, ts: number) => boolean;
  readonly readNumber: ReadCell;
}

/** The plan for this file and the running Loam. Rejects with ConfigInvalid when an option does not fit them. */
export async function planOf(api: Api, path: string, options: Options): Promise<ImportPlan> {
  const shape = await shapeOf(path, delimiterOf(text(options, 'delimiter')));
  const farm = text(options, 'farm') ?? '';
  const known = (await api.call('/api/farms', farmsAnswer)).farms.find(({ id }) => id === farm);
  if (!known) throw new ConfigInvalid('--farm', `--farm: there is no farm ${JSON.stringify(farm)}`);
  const time = columnOf('--time', text(options, 'time') ?? '', shape);
  const columns = columnsOf(pairsOf('--map', options.map), shape);
  const units = unitsOf(pairsOf('--unit', options.unit));
  for (const [name, unit] of Object.entries(units)) {
    if (![...columns.values()].includes(name))
      throw new ConfigInvalid('--unit', `--unit: no column is mapped to ${name}`);
    if (!isUnit(unit))
      throw new ConfigInvalid('--unit', `--unit: ${JSON.stringify(unit)} is not a unit that Loam knows`);
  }
  const decimal = text(options, 'decimal') ?? (shape.delimiter === ',' ? '.' : ',');
  const zone = text(options, 'zone') ?? known.timezone;
  const format = text(options, 'timeFormat');
  const readTime = timeReaderOf(zone, format);
  const isTwice = twiceReader(zone, format);
  const readNumber = numberReader(decimal === ',');
  const sensor = text(options, 'sensor') ?? '';
  return { path, shape, sensor, farm, zone, time, columns, units, readTime, isTwice, readNumber };
}

/** Columns and the metrics they are mapped to. Each occurs only once, or one value would overwrite another. */
function columnsOf(pairs: readonly [string, string][], shape: CsvShape): Map<string, string> {
  const columns = new Map<string, string>();
  const taken = new Map<string, string>();
  for (const [given, name] of pairs) {
    const column = columnOf('--map', given, shape);
    if (columns.has(column)) {
      throw new ConfigInvalid('--map', `--map: column ${JSON.stringify(column)} is mapped twice`);
    }
    const metric = metricName(name) ?? name;
    const other = taken.get(metric);
    if (other !== undefined) {
      const both = `columns ${JSON.stringify(other)} and ${JSON.stringify(column)}`;
      throw new ConfigInvalid('--map', `--map: ${both} are both mapped to ${metric}`);
    }
    columns.set(column, name);
    taken.set(metric, column);
  }
  if (columns.size === 0) throw new ConfigInvalid('--map', '--map: give at least one COLUMN=METRIC');
  return columns;
}

function unitsOf(pairs: readonly [string, string][]): Record<string, string> {
  const units = new Map<string, string>();
  for (const [name, unit] of pairs) {
    if (units.has(name)) throw new ConfigInvalid('--unit', `--unit: ${name} is given two units`);
    units.set(name, unit);
  }
  return Object.fromEntries(units);
}

function timeReaderOf(zone: string, format: string | undefined): ReadCell {
  try {
    refuseZone(zone);
  } catch (cause) {
    throw new ConfigInvalid('--zone', `--zone: ${JSON.stringify(zone)} is no IANA time zone such as Europe/Berlin`, {
      cause,
    });
  }
  try {
    return timeReader(zone, format);
  } catch (cause) {
    throw new ConfigInvalid('--time-format', `--time-format: got ${JSON.stringify(format)}: ${explain(cause)}`, {
      cause,
    });
  }
}

function delimiterOf(given: string | undefined): string | undefined {
  return given === 'tab' ? '\t' : given;
}

function columnOf(option: string, name: string, { columns }: CsvShape): string {
  const places = columns.flatMap((column, i) => (column === name ? [i + 1] : []));
  if (places.length === 1) return name;
  if (places.length > 1) {
    const where = `${places.slice(0, -1).join(', ')} and ${places.at(-1)}`;
    const advice = 'give each a name of its own in the first line';
    throw new ConfigInvalid(option, `${option}: columns ${where} are both called ${JSON.stringify(name)}: ${advice}`);
  }
  throw new ConfigInvalid(
    option,
    `${option}: the file has no column ${JSON.stringify(name)}; it has ${columns.join(', ')}`,
  );
}

function pairsOf(option: string, given: unknown): [string, string][] {
  const list: unknown[] = Array.isArray(given) ? given : [];
  return list.map((pair) => {
    const words = String(pair);
    const at = words.lastIndexOf('=');
    if (at > 0 && at < words.length - 1) return [words.slice(0, at), words.slice(at + 1)];
    throw new ConfigInvalid(option, `${option}: got ${JSON.stringify(pair)}, allowed: NAME=VALUE`);
  });
}
