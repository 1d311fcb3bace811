import { ConfigInvalid } from '../core/errors.ts';
import { CATALOGUE, MAKERS_NAMES } from '../telemetry/catalogue.ts';
import { metricName } from '../telemetry/formats/metric-name.ts';
import { type FileColumn, quantityOf } from '../telemetry/logger-files/columns.ts';
import { numbersReader, type ReadNumber } from '../telemetry/logger-files/number-cells.ts';
import { columnNamed, type FileTable } from '../telemetry/logger-files/table.ts';
import { conversion, isUnit } from '../telemetry/units.ts';
import { type Options, pairsOf, texts } from './options.ts';

/** A column that is imported. */
export interface MappedColumn {
  readonly place: number;
  readonly name: string;
  /** As it was given; the gateway knows it by its folded name. */
  readonly metric: string;
  /** Its own sensor; undefined: that of the line or the file. */
  readonly sensor: string | undefined;
  /** The unit of its numbers that the gateway is told; undefined: the metric's own. */
  readonly unit: string | undefined;
  /** What means that there is no value, beside what always does. */
  readonly missing: readonly string[];
  readonly reader: (comma: boolean) => ReadNumber;
  /** Set when it is known whether decimals follow a comma. */
  readonly read: ReadNumber;
  /** Which cells are allowed, in words. */
  readonly allowed: string;
}

/** What the running Loam knows of a farm. */
export interface MappingFarm {
  readonly metrics: readonly {
    readonly id: string;
    readonly label?: string | undefined;
    readonly unit?: string | undefined;
  }[];
  /** Looked up only where the options name several sensors. */
  readonly sensors: ReadonlySet<string>;
}

interface ColumnMeaning {
  readonly column: FileColumn;
  readonly metric: string;
  readonly sensor: string | undefined;
}

/**
 * The columns that are imported: those of `--map`, or, without any, those whose headers name one metric. Throws
 * ConfigInvalid when a column or a metric of one sensor is mapped twice, or a unit does not fit.
 */
export function mappedColumns(
  options: Options,
  table: FileTable,
  farm: MappingFarm,
  sensorPlace: number | undefined,
): MappedColumn[] {
  const pairs = pairsOf('--map', texts(options, 'map'));
  const mappings = pairs.length > 0 ? given(pairs, table, farm) : guessed(table, farm, sensorPlace);
  refuseDoubles(mappings);
  const units = unitsOf(pairsOf('--unit', texts(options, 'unit')), mappings);
  const missing = [...(table.preset?.missing ?? []), ...texts(options, 'missing')];
  return mappings.map(({ column, metric, sensor }) => {
    const own = ownUnit(metric, farm);
    const unit = units.get(metric) ?? headerUnit(column, metric, own);
    const compass = table.preset?.compass ?? false;
    const reader = (comma: boolean) => numbersReader({ comma, missing, unit: unit ?? own, compass });
    return {
      place: column.place,
      name: column.name,
      metric,
      sensor,
      unit,
      missing,
      reader,
      read: reader(false),
      allowed: '',
    };
  });
}

function given(pairs: readonly [string, string][], { columns }: FileTable, { sensors }: MappingFarm): ColumnMeaning[] {
  return pairs.map(([name, target]) => {
    const column = columnNamed('--map', name, columns);
    const at = target.indexOf('/');
    const sensor = at > 0 ? target.slice(0, at) : undefined;
    if (sensor === undefined) return { column, metric: target, sensor };
    if (sensors.has(sensor)) return { column, metric: target.slice(at + 1), sensor };
    throw new ConfigInvalid(
      '--map',
      `--map: there is no sensor ${JSON.stringify(sensor)}, for ${JSON.stringify(target)}`,
    );
  });
}

/** Columns whose headers mean one metric. Where two mean the same, a person must say. */
function guessed(
  { columns, preset, time }: FileTable,
  farm: MappingFarm,
  sensorPlace: number | undefined,
): ColumnMeaning[] {
  const mappings = columns.flatMap((column): ColumnMeaning[] => {
    if (time.includes(column.place) || column.place === sensorPlace) return [];
    const quantity = quantityOf(column);
    const metric = preset?.metrics[quantity] ?? metricNamed(quantity, farm) ?? metricNamed(column.own, farm);
    return metric === undefined ? [] : [{ column, metric, sensor: undefined }];
  });
  if (mappings.length > 0) return mappings;
  const has = columns.map(({ name }) => name).join(', ');
  throw new ConfigInvalid('--map', `--map: give at least one COLUMN=METRIC; the file has ${has}`);
}

function metricNamed(text: string, { metrics }: MappingFarm): string | undefined {
  const name = metricName(text);
  if (name === undefined) return undefined;
  const known = metrics.find(({ id, label }) => id === name || label?.toLowerCase() === text.toLowerCase());
  return known?.id ?? (CATALOGUE.has(name) ? name : MAKERS_NAMES.get(name)?.metric);
}

/** Each column and, of one sensor, each metric occurs only once, or one value would overwrite another. */
function refuseDoubles(mappings: readonly ColumnMeaning[]): void {
  const places = new Set<number>();
  const taken = new Map<string, ColumnMeaning>();
  for (const mapping of mappings) {
    const { column, sensor } = mapping;
    const quoted = JSON.stringify(column.name);
    if (places.has(column.place)) throw new ConfigInvalid('--map', `--map: column ${quoted} is mapped twice`);
    places.add(column.place);
    const metric = metricName(mapping.metric) ?? mapping.metric;
    const other = taken.get(`${sensor ?? ''}/${metric}`);
    if (other) {
      const both = `columns ${JSON.stringify(other.column.name)} and ${quoted}`;
      const ways = `choose with --map '#${column.place + 1}=${metric}', or give each its sensor: '#${column.place + 1}=SENSOR/${metric}'`;
      throw new ConfigInvalid('--map', `--map: ${both} are both mapped to ${metric}: ${ways}`);
    }
    taken.set(`${sensor ?? ''}/${metric}`, mapping);
  }
}

function unitsOf(pairs: readonly [string, string][], mappings: readonly ColumnMeaning[]): ReadonlyMap<string, string> {
  const units = new Map<string, string>();
  for (const [name, unit] of pairs) {
    if (units.has(name)) throw new ConfigInvalid('--unit', `--unit: ${name} is given two units`);
    if (!mappings.some(({ metric }) => metric === name))
      throw new ConfigInvalid('--unit', `--unit: no column is mapped to ${name}`);
    if (!isUnit(unit))
      throw new ConfigInvalid('--unit', `--unit: ${JSON.stringify(unit)} is not a unit that Loam knows`);
    units.set(name, unit);
  }
  return units;
}

/** The unit that the metric is kept in; undefined where it is not known. */
export function ownUnit(metric: string, { metrics }: MappingFarm): string | undefined {
  const name = metricName(metric) ?? metric;
  const id = metrics.some((known) => known.id === name) ? name : (MAKERS_NAMES.get(name)?.metric ?? name);
  return metrics.find((known) => known.id === id)?.unit ?? CATALOGUE.get(id)?.unit;
}

/** The unit of a column's header. Throws ConfigInvalid when the metric cannot be in it. */
function headerUnit({ name, unit }: FileColumn, metric: string, own: string | undefined): string | undefined {
  if (unit === undefined || own === '') return undefined;
  if (own === undefined || conversion(unit, own) !== undefined) return unit;
  const what = `column ${JSON.stringify(name)} is in ${unit} by its header, and ${metric} is in ${own}`;
  throw new ConfigInvalid(
    '--unit',
    `--unit: ${what}: map it to another metric, or say --unit ${metric}=${own} if the header is wrong`,
  );
}
