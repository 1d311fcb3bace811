import { createWriteStream } from 'node:fs';
import { SingleBar } from 'cli-progress';
import { stringify } from 'csv-stringify';
import { z } from 'zod';
import { ApiRefused, ConfigInvalid, explain } from '../core/errors.ts';
import { pause } from '../core/lifecycle.ts';
import { refuseZone } from '../telemetry/calendar.ts';
import { isUnit } from '../telemetry/units.ts';
import { Api } from './api.ts';
import { numberReader, type ReadCell, timeReader } from './import-cells.ts';
import { type CsvShape, linesOf, shapeOf } from './import-file.ts';
import { type Options, settingsOf, text } from './options.ts';

const farmsAnswer = z.object({ farms: z.array(z.object({ id: z.string(), timezone: z.string() })) });
const refusedLine = z.object({ line: z.number(), path: z.string(), reason: z.string(), explanation: z.string() });
const importAnswer = z.object({ accepted: z.number(), refused: z.array(refusedLine) });
type RefusedLine = z.infer<typeof refusedLine>;
type Row = [line: number, ts: number, values: Record<string, number>];

/** Lines sent at once. */
const CHUNK = 2_000;
/** Refused lines told on the terminal; `--report` has all of them. */
const MOST_TOLD = 20;
const RETRY_MS = 2_000;
/** So long a gateway that says "not now" is waited for. */
const MOST_WAIT_MS = 10 * 60_000;

interface Plan {
  readonly path: string;
  readonly shape: CsvShape;
  readonly sensor: string;
  readonly farm: string;
  readonly time: string;
  /** Columns and the names of their values. */
  readonly columns: ReadonlyMap<string, string>;
  readonly units: Readonly<Record<string, string>>;
  readonly readTime: ReadCell;
  readonly readNumber: ReadCell;
}

/** `loam import`: a CSV file of the past into the store, through a running Loam. Resolves with the exit code: 1 when a line was refused. */
export async function importCommand(path: string, options: Options): Promise<number> {
  const api = await Api.open(settingsOf(options));
  const plan = await planOf(api, path, options);
  const progress = new Progress(plan.shape.size);
  const report = new Report(text(options, 'report'), (line) => progress.tell(line));
  let accepted = 0;
  let rows: Row[] = [];
  const send = async () => {
    if (rows.length === 0) return;
    const answer = await sendPatiently(api, plan, rows, (why) => progress.waits(why));
    accepted += answer.accepted;
    for (const line of answer.refused) await report.add(line);
    rows = [];
  };
  try {
    for await (const { number, cells, why, bytes } of linesOf(path, plan.shape)) {
      const row = cells
        ? rowOf(number, cells, plan)
        : { line: number, path: 'line', reason: 'not_csv', explanation: why };
      if (Array.isArray(row)) rows.push(row);
      else if (row) await report.add(row);
      if (rows.length >= CHUNK) await send();
      progress.at(bytes, accepted);
    }
    await send();
    progress.at(plan.shape.size, accepted);
  } finally {
    progress.end();
    await report.end();
    process.stdout.write(`${accepted} lines imported for ${plan.sensor}, ${report.count} refusals\n`);
  }
  return report.count > 0 ? 1 : 0;
}

/** A line as a row to send, or why not; undefined when it has no value in any of the columns. */
function rowOf(line: number, cells: Readonly<Record<string, string>>, plan: Plan): Row | RefusedLine | undefined {
  const when = cells[plan.time] ?? '';
  const ts = plan.readTime(when);
  if (ts === undefined) {
    return { line, path: plan.time, reason: 'bad_time', explanation: `${JSON.stringify(when)} is no time` };
  }
  const values: Record<string, number> = {};
  let taken = 0;
  for (const [column, name] of plan.columns) {
    const cell = cells[column] ?? '';
    if (cell === '') continue;
    const value = plan.readNumber(cell);
    if (value === undefined || !Number.isFinite(value)) {
      const explanation = `${JSON.stringify(cell)} is no number; nothing of this line was taken`;
      return { line, path: column, reason: 'not_a_number', explanation };
    }
    values[name] = value;
    taken++;
  }
  return taken > 0 ? [line, ts, values] : undefined;
}

/** Sends rows, again and again while the gateway says that it cannot now, or says nothing: twice is once. */
async function sendPatiently(
  api: Api,
  { farm, sensor, units }: Plan,
  rows: readonly Row[],
  onWait: (why: string) => void,
) {
  const path = `/api/farms/${encodeURIComponent(farm)}/import`;
  const until = performance.now() + MOST_WAIT_MS;
  for (;;) {
    try {
      return await api.call(path, importAnswer, { method: 'POST', body: { sensor, units, rows } });
    } catch (error) {
      const refused = error instanceof ApiRefused && (error.status === 503 || error.status === 429);
      const silent = error instanceof DOMException && error.name === 'TimeoutError';
      if (!(refused || silent) || performance.now() > until) throw error;
      onWait(explain(error));
      await pause(RETRY_MS);
    }
  }
}

async function planOf(api: Api, path: string, options: Options): Promise<Plan> {
  const shape = await shapeOf(path, delimiterOf(text(options, 'delimiter')));
  const farm = text(options, 'farm') ?? '';
  const known = (await api.call('/api/farms', farmsAnswer)).farms.find(({ id }) => id === farm);
  if (!known) throw new ConfigInvalid('--farm', `--farm: there is no farm ${JSON.stringify(farm)}`);
  const time = columnOf('--time', text(options, 'time') ?? '', shape);
  const columns = new Map<string, string>();
  for (const [column, name] of pairsOf('--map', options.map)) columns.set(columnOf('--map', column, shape), name);
  if (columns.size === 0) throw new ConfigInvalid('--map', '--map: give at least one COLUMN=METRIC');
  const units = Object.fromEntries(pairsOf('--unit', options.unit));
  for (const [name, unit] of Object.entries(units)) {
    if (![...columns.values()].includes(name))
      throw new ConfigInvalid('--unit', `--unit: no column is mapped to ${name}`);
    if (!isUnit(unit))
      throw new ConfigInvalid('--unit', `--unit: ${JSON.stringify(unit)} is not a unit that Loam knows`);
  }
  const decimal = text(options, 'decimal') ?? (shape.delimiter === ',' ? '.' : ',');
  const readTime = timeReaderOf(text(options, 'zone') ?? known.timezone, text(options, 'timeFormat'));
  const sensor = text(options, 'sensor') ?? '';
  return { path, shape, sensor, farm, time, columns, units, readTime, readNumber: numberReader(decimal === ',') };
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
  if (columns.includes(name)) return name;
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

/** Refused lines: the first ones on the terminal, all of them in a file when one was named. */
class Report {
  count = 0;
  private readonly file: ReturnType<typeof stringify> | undefined;
  private readonly written: Promise<void> | undefined;
  private readonly tell: (line: string) => void;

  constructor(path: string | undefined, tell: (line: string) => void) {
    this.tell = tell;
    if (path === undefined) return;
    const file = stringify({ header: true, columns: ['line', 'path', 'reason', 'explanation'] });
    const out = createWriteStream(path);
    this.written = new Promise((resolve, reject) => {
      out.on('close', resolve);
      out.on('error', (cause) => reject(new ConfigInvalid('--report', `--report: ${explain(cause)}`, { cause })));
    });
    // It is awaited at the end; until then a rejection is nobody's.
    this.written.catch(() => {});
    file.pipe(out);
    this.file = file;
  }

  async add({ line, path, reason, explanation }: RefusedLine): Promise<void> {
    this.count++;
    if (this.count <= MOST_TOLD) this.tell(`line ${line}: ${path}: ${explanation} (${reason})`);
    else if (this.count === MOST_TOLD + 1) this.tell('more lines are refused: --report FILE lists all');
    const { file } = this;
    if (file && !file.write({ line, path, reason, explanation })) {
      await new Promise<void>((resolve) => file.once('drain', resolve));
    }
  }

  async end(): Promise<void> {
    this.file?.end();
    await this.written;
  }
}

const CLEAR_LINE = '\r\u001b[2K';

/** How far it is: a bar on a terminal, otherwise a line for every tenth. */
class Progress {
  private readonly size: number;
  private readonly bar: SingleBar | undefined;
  private told = 0;
  private waiting = '';

  constructor(size: number) {
    this.size = Math.max(1, size);
    if (!process.stderr.isTTY) return;
    this.bar = new SingleBar({ format: 'importing {bar} {percentage} % | {lines} lines', stream: process.stderr });
    this.bar.start(this.size, 0, { lines: 0 });
  }

  at(bytes: number, lines: number): void {
    this.waiting = '';
    this.bar?.update(Math.min(bytes, this.size), { lines });
    const tenth = Math.floor((bytes / this.size) * 10);
    if (this.bar || tenth <= this.told) return;
    this.told = tenth;
    this.tell(`${Math.min(100, tenth * 10)} % read, ${lines} lines imported`);
  }

  /** It goes on when Loam can take more. Told once for each reason in a row. */
  waits(why: string): void {
    if (why !== this.waiting) this.tell(`waiting: ${why}`);
    this.waiting = why;
  }

  /** Says something on a line of its own, above the bar. */
  tell(line: string): void {
    process.stderr.write(`${this.bar ? CLEAR_LINE : ''}${line}\n`);
  }

  end(): void {
    this.bar?.stop();
  }
}
