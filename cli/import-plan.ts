import { z } from 'zod';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { refuseZone } from '../telemetry/calendar.ts';
import type { ReadNumber } from '../telemetry/logger-files/number-cells.ts';
import { columnNamed, type FileTable, timeCell, WrittenForms } from '../telemetry/logger-files/table.ts';
import {
  type DateOrder,
  formatReader,
  isOffset,
  MOST_CELL,
  type ReadTimes,
  timesReader,
} from '../telemetry/logger-files/time-cells.ts';
import type { Api } from './api.ts';
import { type MappedColumn, type MappingFarm, mappedColumns, ownUnit } from './import-columns.ts';
import { type ImportFile, openImportFile, recordsOf } from './import-file.ts';
import { type Options, pairsOf, text, texts } from './options.ts';

const farmsAnswer = z.object({
  farms: z.array(z.object({ id: z.string(), timezone: z.string() })),
  metrics: z.array(z.object({ id: z.string(), label: z.string().optional(), unit: z.string().optional() })).default([]),
});
const sensorsAnswer = z.object({ sensors: z.array(z.object({ id: z.string() })) });

/** A column of which each line names its sensor. */
export interface SensorColumn {
  readonly place: number;
  readonly name: string;
  readonly sensorOf: (label: string) => string | undefined;
  /** All sensors and names that it knows. */
  readonly known: readonly string[];
}

/** How a file is read, and which sensors its readings are of. */
export interface ImportPlan {
  readonly file: ImportFile;
  readonly farm: string;
  /** Of all columns that name no other; empty when `named` says. */
  readonly sensor: string;
  readonly named: SensorColumn | undefined;
  /** The IANA zone, or offset, of times that name none. */
  readonly zone: string;
  /** What the column with the time is called. */
  readonly timeName: string;
  readonly allowedTime: string;
  readonly readTimes: ReadTimes;
  /** Reads a time as if its clocks never changed: what only this one reads was skipped by them. */
  readonly readShown: ReadTimes;
  readonly columns: readonly MappedColumn[];
  /** How numbers and times are written, in words, for the preview. */
  readonly written: string;
  /** The unit that a metric is kept in, where it is known. */
  readonly unitOf: (metric: string) => string | undefined;
}

/** So many lines show how a file writes its numbers and dates. */
const SHOWN_LINES = 2_000;

/** The plan for this file and the running Loam. Rejects with ConfigInvalid when an option does not fit them. */
export async function planOf(api: Api, path: string, options: Options): Promise<ImportPlan> {
  const time = [...texts(options, 'time'), ...texts(options, 'clock')];
  const delimiter = text(options, 'delimiter');
  const file = await openImportFile(path, {
    preset: text(options, 'preset'),
    delimiter: delimiter === 'tab' ? '\t' : delimiter,
    headerLine: lineNumber(text(options, 'headerLine')),
    encoding: text(options, 'encoding'),
    time,
  });
  const { table } = file;
  const farm = text(options, 'farm') ?? '';
  const answer = await api.call('/api/farms', farmsAnswer);
  const known = answer.farms.find(({ id }) => id === farm);
  if (!known) throw new ConfigInvalid('--farm', `--farm: there is no farm ${JSON.stringify(farm)}`);
  const isSeveral =
    text(options, 'sensorColumn') !== undefined ||
    texts(options, 'map').some((pair) => pair.includes('/', pair.lastIndexOf('=')));
  const sensors = isSeveral ? await sensorsOf(api, farm) : new Set<string>();
  const named = namedBy(options, table, sensors);
  const about: MappingFarm = { metrics: answer.metrics, sensors };
  const columns = mappedColumns(options, table, about, named?.place);
  const sensor = text(options, 'sensor') ?? '';
  if (sensor === '' && named === undefined && columns.some((column) => column.sensor === undefined)) {
    const ways = '--sensor-column names a column that says, and --map COLUMN=SENSOR/METRIC the sensor of one column';
    throw new ConfigInvalid('--sensor', `--sensor: say which sensor the readings are of; ${ways}`);
  }
  const zone = text(options, 'zone') ?? table.zone ?? known.timezone;
  const forms = await writtenForms(file, columns);
  const dates = datesOf(options, zone, forms, table);
  const comma = commaOf(text(options, 'decimal'), forms, table);
  return {
    file,
    farm,
    sensor,
    named,
    zone,
    timeName: table.time.map((place) => table.columns[place]?.name ?? '').join(' '),
    allowedTime: dates.allowed,
    readTimes: dates.read,
    readShown: dates.shown,
    columns: columns.map((column) => ({ ...column, ...numbersOf(column, comma) })),
    written: `decimals follow "${comma ? ',' : '.'}", ${dates.allowed}, in ${zone}`,
    unitOf: (metric) => ownUnit(metric, about),
  };
}

function numbersOf(column: MappedColumn, comma: boolean): { read: ReadNumber; allowed: string } {
  const example = comma ? '31,5' : '31.5';
  return {
    read: column.reader(comma),
    allowed: `a number such as ${example}, or ---, NAN, #N/A, or what --missing says`,
  };
}

function lineNumber(given: string | undefined): number | undefined {
  if (given === undefined || /^[1-9]\d{0,2}$/.test(given)) return given === undefined ? undefined : Number(given);
  throw new ConfigInvalid(
    '--header-line',
    `--header-line: got ${JSON.stringify(given)}, allowed: a line from 1 to 200`,
  );
}

async function sensorsOf(api: Api, farm: string): Promise<ReadonlySet<string>> {
  const { sensors } = await api.call(`/api/farms/${encodeURIComponent(farm)}/sensors`, sensorsAnswer);
  return new Set(sensors.map(({ id }) => id));
}

function namedBy(options: Options, table: FileTable, sensors: ReadonlySet<string>): SensorColumn | undefined {
  const column = text(options, 'sensorColumn');
  const pairs = new Map(pairsOf('--sensor-name', texts(options, 'sensorName')));
  if (column === undefined) {
    if (pairs.size === 0) return undefined;
    throw new ConfigInvalid('--sensor-name', '--sensor-name: --sensor-column says which column has those names');
  }
  for (const sensor of pairs.values()) {
    if (!sensors.has(sensor))
      throw new ConfigInvalid('--sensor-name', `--sensor-name: there is no sensor ${JSON.stringify(sensor)}`);
  }
  const { place, name } = columnNamed('--sensor-column', column, table.columns);
  const sensorOf = (label: string) => pairs.get(label) ?? (sensors.has(label) ? label : undefined);
  const known = [...sensors, ...[...pairs].map((pair) => pair.join('='))].sort();
  return { place, name, sensorOf, known };
}

/** How the file writes dates and numbers: its first lines, and further ones until the order of dates is known. */
async function writtenForms(file: ImportFile, columns: readonly MappedColumn[]): Promise<WrittenForms> {
  const forms = new WrittenForms();
  let count = 0;
  for await (const { cells } of recordsOf(file, () => true)) {
    if (++count > SHOWN_LINES && !forms.isOpen) break;
    if (!cells) continue;
    forms.look(
      timeCell(cells, file.table.time),
      columns.map(({ place }) => cells[place] ?? ''),
    );
  }
  return forms;
}

function commaOf(given: string | undefined, { commas, points }: WrittenForms, { delimiter }: FileTable): boolean {
  if (given !== undefined) return given === ',';
  if (commas > 0 && points > 0) return delimiter !== ',';
  return commas > 0 || (points === 0 && delimiter !== ',');
}

/** How the file's times are read, and what is allowed, in words. */
function datesOf(
  options: Options,
  zone: string,
  forms: WrittenForms,
  table: FileTable,
): { read: ReadTimes; shown: ReadTimes; allowed: string } {
  if (!isOffset(zone)) {
    try {
      refuseZone(zone);
    } catch (cause) {
      const what = `${JSON.stringify(zone)} is no IANA time zone such as Europe/Berlin, and no offset such as +02:00`;
      throw new ConfigInvalid('--zone', `--zone: ${what}`, { cause });
    }
  }
  const format = text(options, 'timeFormat');
  if (format !== undefined) {
    try {
      return { read: formatReader(zone, format), shown: formatReader('UTC', format), allowed: `a time as ${format}` };
    } catch (cause) {
      const what = `got ${JSON.stringify(format)}: ${explain(cause)}`;
      throw new ConfigInvalid('--time-format', `--time-format: ${what}`, { cause });
    }
  }
  const order = orderOf(forms, table);
  return { read: timesReader(zone, order), shown: timesReader('UTC', order), allowed: ALLOWED[order] };
}

const ALLOWED: Readonly<Record<DateOrder, string>> = {
  iso: 'a time such as 2026-03-31 14:05 or Unix seconds or ms; for others, --time-format',
  'day-first': 'a time with the day first, such as 31.03.2026 14:05',
  'month-first': 'a time with the month first, such as 03/31/2026 2:05 PM',
};

function orderOf({ dayFirst, monthFirst, unclear }: WrittenForms, { preset }: FileTable): DateOrder {
  const say = 'say --time-format DD/MM/YYYY … or MM/DD/YYYY …, as "DD/MM/YYYY HH:mm"';
  if (dayFirst && monthFirst) {
    throw new ConfigInvalid('--time-format', `--time-format: some dates have the day first, others the month: ${say}`);
  }
  if (dayFirst || monthFirst) return dayFirst ? 'day-first' : 'month-first';
  if (unclear === undefined) return 'iso';
  if (preset !== undefined && preset.order !== 'iso') return preset.order;
  const what = `whether day or month is first in ${JSON.stringify(unclear.slice(0, MOST_CELL))} no date of the file shows`;
  throw new ConfigInvalid('--time-format', `--time-format: ${what}: ${say}`);
}
