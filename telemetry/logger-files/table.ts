import { ConfigInvalid } from '../../core/errors.ts';
import { isOfOurTime, readInstant } from '../clock.ts';
import { isUnit } from '../units.ts';
import { columnsNamed, columnsOf, type FileColumn } from './columns.ts';
import type { TextLine } from './lines.ts';
import { decimalMarkOf } from './number-cells.ts';
import { type FoundTable, type LoggerPreset, PRESETS } from './presets.ts';
import { isCells, splitLine } from './records.ts';
import { isClock, isDateOnly, ordersOf } from './time-cells.ts';

/** What a person says about the form of a file; what is left out is found. */
export interface TableWishes {
  readonly preset?: string | undefined;
  readonly delimiter?: string | undefined;
  /** The number of the line with the names of the columns, from 1. */
  readonly headerLine?: number | undefined;
  /** Names of the column with the time, or of those with date and time of day. */
  readonly time: readonly string[];
}

/** The form of a file: where its data begins, and what its columns are. */
export interface FileTable {
  readonly preset: LoggerPreset | undefined;
  readonly delimiter: string;
  readonly columns: readonly FileColumn[];
  /** Places of the column with the time, or of those with the date and the time of day. */
  readonly time: readonly number[];
  /** An offset such as `+02:00` that the file says its times have. */
  readonly zone: string | undefined;
  /** How many lines stand before the data, and their texts. */
  readonly headLines: number;
  readonly head: ReadonlySet<string>;
}

const DELIMITERS = [';', '\t', ',', '|'];
/** Lines below the header that may hold units and the like. */
const MOST_BELOW = 4;
/** So many lines of data show whether a column has times of day. */
const SHOWN = 50;

type Cells = readonly string[];
type Rows = readonly Cells[];

/** Finds the form of a file in its first lines. Throws ConfigInvalid when it has none, or not the one that is wished. */
export function tableOf(lines: readonly TextLine[], wishes: TableWishes): FileTable {
  const separator = /^"?sep=(.)"?$/i.exec(lines[0]?.text ?? '')?.[1];
  const skipped = separator === undefined ? 0 : 1;
  const wanted = wishes.delimiter ?? separator;
  const forms = (wanted === undefined ? DELIMITERS : [wanted]).map((delimiter) => ({
    delimiter,
    rows: lines.slice(skipped).map(({ text }): Cells => {
      const split = splitLine(text, delimiter);
      return isCells(split) ? split : [];
    }),
  }));
  const found = ofPreset(forms, wishes) ?? plainTable(forms, wishes, skipped);
  const { delimiter, rows, preset, table } = found;
  const columns = columnsOf(table);
  const time =
    wishes.time.length > 0 ? wishes.time.map((name) => columnNamed('--time', name, columns).place) : table.time;
  return {
    preset,
    delimiter,
    columns,
    time: withClock(time, rows.slice(table.headLines), columns),
    zone: table.zone,
    headLines: table.headLines + skipped,
    head: new Set(lines.slice(0, table.headLines + skipped).flatMap(({ text }) => (text.trim() === '' ? [] : [text]))),
  };
}

interface ParsedForm {
  readonly delimiter: string;
  readonly rows: Rows;
}

interface FoundForm extends ParsedForm {
  readonly preset?: LoggerPreset;
  readonly table: FoundTable;
}

function ofPreset(forms: readonly ParsedForm[], { preset: name, headerLine }: TableWishes): FoundForm | undefined {
  const named = name === undefined ? PRESETS : PRESETS.filter((preset) => preset.name === name);
  const names = PRESETS.map((preset) => preset.name).join(', ');
  if (named.length === 0)
    throw new ConfigInvalid('--preset', `--preset: got ${JSON.stringify(name)}, allowed: ${names}`);
  if (name === undefined && headerLine !== undefined) return undefined;
  for (const preset of named) {
    for (const form of forms) {
      const table = preset.find(form.rows);
      if (table !== undefined && table.headers.length > 1) return { ...form, preset, table };
    }
  }
  if (name === undefined) return undefined;
  const what = `its first lines are not those of ${name} (${named[0]?.label})`;
  throw new ConfigInvalid('--preset', `--preset: ${what}; leave it out, or say --time and --header-line`);
}

/** A table with one line of names, and perhaps units below it. */
function plainTable(forms: readonly ParsedForm[], wishes: TableWishes, skipped: number): FoundForm {
  const at = wishes.headerLine;
  const found = at === undefined ? headerIn(forms, wishes.time) : headerAt(forms, at - 1 - skipped);
  const { delimiter, rows } = found;
  const first = rows[found.header] ?? [];
  // A line with a time is data: nothing of it may be lost as a name.
  const isBare = at === undefined && first.some(looksLikeTime);
  const headers = isBare ? first.map((_, i) => `#${i + 1}`) : first;
  if (headers.length === 0 || headers.every((cell) => cell === '')) {
    const where = at === undefined ? 'its first line does not name columns' : `line ${at} does not name columns`;
    throw new ConfigInvalid('<file>', `<file>: ${where}; --header-line says which line does`);
  }
  let headLines = found.header + (isBare ? 0 : 1);
  let units: Cells | undefined;
  for (let i = 0; i < MOST_BELOW; i++) {
    const below = rows[headLines];
    if (below === undefined || !isOfUnits(below, headers.length)) break;
    units ??= below;
    headLines++;
  }
  const time = timeIn(rows.slice(headLines), headers.length);
  if (time === undefined && wishes.time.length === 0) {
    const has = headers.join(', ');
    throw new ConfigInvalid('--time', `--time: say which column has the time of measurement; the file has ${has}`);
  }
  const table = {
    headLines,
    headers,
    units: units?.map((unit) => (unit === '' ? undefined : unit)),
    time: [time ?? 0],
  };
  return { delimiter, rows, table: { ...table, units: table.units ?? [] } };
}

/** The line that has the column with the time, or else the one above the first that begins with a time. */
function headerIn(forms: readonly ParsedForm[], [time]: readonly string[]): ParsedForm & { header: number } {
  let best: (ParsedForm & { header: number }) | undefined;
  for (const form of forms) {
    const { rows } = form;
    const header =
      time !== undefined && !time.startsWith('#')
        ? rows.findIndex((cells) => columnsNamed(time, columnsOf({ headers: cells })).length > 0)
        : aboveData(rows);
    const width = rows[header]?.length ?? 0;
    if (header >= 0 && width > (best?.rows[best.header]?.length ?? 0)) best = { ...form, header };
  }
  return best ?? headerAt(forms, Math.max(0, firstLine(forms)));
}

/** The line above the first with a time, or above the units that stand there. */
function aboveData(rows: Rows): number {
  const data = rows.findIndex((cells, i) => i > 0 && cells.length > 1 && cells.some(looksLikeTime));
  const width = rows[data]?.length ?? 0;
  let header = data - 1;
  while (header > 0 && isOfUnits(rows[header] ?? [], width) && rows[header - 1]?.length === width) header--;
  return header;
}

function firstLine(forms: readonly ParsedForm[]): number {
  return forms[0]?.rows.findIndex((cells) => cells.some((cell) => cell !== '')) ?? 0;
}

/** The header at a line, by the delimiter that makes most columns of it and as many of the line after it. */
function headerAt(forms: readonly ParsedForm[], header: number): ParsedForm & { header: number } {
  const scored = forms.map((form) => {
    const [width = 0, below = 0] = [form.rows[header]?.length, form.rows[header + 1]?.length];
    return { form, score: width * 2 + (width === below ? 1 : 0) };
  });
  const best = scored.reduce((a, b) => (b.score > a.score ? b : a));
  return { ...best.form, header };
}

function isOfUnits(cells: Cells, width: number): boolean {
  if (cells.length !== width || cells.some((cell) => /^[+-]?[\d.,]+$/.test(cell) || looksLikeTime(cell))) return false;
  const named = cells.slice(1).filter((cell) => cell !== '');
  return named.length > 0 && named.every((cell) => isUnit(cell.replace(/^[([](.*)[)\]]$/, '$1')));
}

function looksLikeTime(cell: string): boolean {
  if (ordersOf(cell).length > 0) return true;
  const time = readInstant(/^\d{9,17}(?:\.\d+)?$/.test(cell) ? Number(cell) : cell, 'UTC');
  return time !== undefined && isOfOurTime(time);
}

function timeIn(rows: Rows, width: number): number | undefined {
  const first = rows.find((cells) => cells.length === width && cells.some(looksLikeTime));
  const place = first?.findIndex(looksLikeTime);
  return place === -1 ? undefined : place;
}

/** Where a column has dates without a time of day, the next one that has only times of day belongs to it. */
function withClock(time: readonly number[], data: Rows, columns: readonly FileColumn[]): readonly number[] {
  const [date] = time;
  if (time.length !== 1 || date === undefined) return time;
  const shown = data.filter((cells) => cells.length >= columns.length).slice(0, SHOWN);
  if (shown.length === 0 || !shown.every((cells) => isDateOnly(cells[date] ?? ''))) return time;
  const isOfClock = ({ place }: FileColumn) => shown.every((cells) => isClock(cells[place] ?? ''));
  const clock = columns.find((column) => column.place > date && isOfClock(column)) ?? columns.find(isOfClock);
  return clock === undefined ? time : [date, clock.place];
}

/** The one column that a person means. Throws ConfigInvalid when there is none, or when there are several. */
export function columnNamed(option: string, name: string, columns: readonly FileColumn[]): FileColumn {
  const named = columnsNamed(name, columns);
  const [column] = named;
  if (column !== undefined && named.length === 1) return column;
  if (column === undefined) {
    const has = columns.map((one) => one.name).join(', ');
    throw new ConfigInvalid(option, `${option}: the file has no column ${JSON.stringify(name)}; it has ${has}`);
  }
  const places = named.map(({ place }) => place + 1);
  const where = `${places.slice(0, -1).join(', ')} and ${places.at(-1)}`;
  const advice = named.map((one) => `${JSON.stringify(one.name)} or #${one.place + 1}`).join(', ');
  throw new ConfigInvalid(option, `${option}: columns ${where} are both called ${JSON.stringify(name)}: say ${advice}`);
}

/** The time cell of a line; date and time of day are put together. */
export function timeCell(cells: Cells, time: readonly number[]): string {
  const [date = 0, clock] = time;
  return clock === undefined ? (cells[date] ?? '') : `${cells[date] ?? ''} ${cells[clock] ?? ''}`;
}

/** What lines of data show of how times and numbers are written in a file. */
export class WrittenForms {
  dayFirst = false;
  monthFirst = false;
  /** Some date has day and month in an order that it does not show. */
  unclear: string | undefined;
  commas = 0;
  points = 0;

  look(when: string, numbers: Iterable<string>): void {
    const orders = ordersOf(when);
    if (orders.length === 2) this.unclear ??= when;
    if (orders.length === 1 && orders[0] === 'day-first') this.dayFirst = true;
    if (orders.length === 1 && orders[0] === 'month-first') this.monthFirst = true;
    for (const cell of numbers) {
      const mark = decimalMarkOf(cell);
      if (mark === ',') this.commas++;
      else if (mark === '.') this.points++;
    }
  }

  /** Further lines may show the order of dates. */
  get isOpen(): boolean {
    return this.unclear !== undefined && !this.dayFirst && !this.monthFirst;
  }
}
