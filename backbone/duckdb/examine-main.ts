import { createInterface } from 'node:readline';
import { type DuckDBConnection, DuckDBInstance, type DuckDBValue } from '@duckdb/node-api';
import { explain } from '../../core/errors.ts';
import { isDamage } from './damage.ts';
import { askOf, type ExamineAsk, type ExamineSaid, type LostRows, type RowRange } from './examine-protocol.ts';
import { CREATE, CREATE_PLACE, FIND_PLACE, keepPlace, TABLE } from './sql.ts';

/**
 * The process that looks at a file of DuckDB, or copies what of it can be read: DuckDB may end the process it is in.
 * The file is opened for reading only, and neither it nor anything beside it is changed. It ends when whoever began it
 * does.
 */

/** The columns that a reading cannot do without. Files of the last version have no `sub`: all their times are whole ms. */
const COLUMNS = ['farm', 'sensor', 'metric', 'ts', 'value', 'received'];
const SUB = 'sub';
/** As many rows as DuckDB keeps together, and as it reads at once. */
const GROUP = 122_880;
const VECTOR = 2_048;
const MOST_SENSORS = 200;
/** Places of lost rows that are looked into for whose they are; each costs some queries. */
const MOST_DESCRIBED = 500;

function say(said: ExamineSaid): void {
  process.stdout.write(`${JSON.stringify(said)}\n`);
}

async function main(ask: ExamineAsk): Promise<void> {
  const options = { threads: '2', memory_limit: `${ask.memoryLimitMb}MB`, temp_directory: '' };
  try {
    if (ask.is === 'look') await look(ask.file, options);
    else if (ask.is === 'copy') await copy(ask, options);
    else await fresh(ask.into, options);
  } catch (error) {
    say({ is: 'failed', why: explain(error) });
  }
  process.stdout.write('', () => process.exit(0));
}

type InstanceOptions = Readonly<Record<string, string>>;

async function look(file: string, options: InstanceOptions): Promise<void> {
  const instance = await DuckDBInstance.create(file, { ...options, access_mode: 'READ_ONLY' });
  const connection = await instance.connect();
  const table = new Table(connection, TABLE, await columnsOf(connection));
  const rows = await table.count();
  const lost = (await table.isWhole(rows)) ? [] : await table.lost(rows);
  const place = await placeOf(connection);
  say({ is: 'state', rows, lost, ...(table.why !== undefined && { why: table.why }), ...place });
}

async function copy(
  { file, into, rows, place }: Extract<ExamineAsk, { is: 'copy' }>,
  options: InstanceOptions,
): Promise<void> {
  const instance = await DuckDBInstance.create(into, options);
  const connection = await instance.connect();
  await connection.run(`ATTACH '${file.replaceAll("'", "''")}' AS old (READ_ONLY)`);
  for (const sql of [CREATE, CREATE_PLACE]) await connection.run(sql);
  const found = await columnsOf(connection, 'old');
  const columns = [...COLUMNS, found.includes(SUB) ? SUB : `0 AS ${SUB}`].join(', ');
  const total = rows.reduce((sum, [from, to]) => sum + to - from, 0);
  let done = 0;
  for (const [from, to] of rows) {
    for (let at = from; at < to; at += GROUP) {
      const end = Math.min(at + GROUP, to);
      const where = `WHERE rowid >= ${at} AND rowid < ${end}`;
      await connection.run(`INSERT INTO ${TABLE} SELECT ${columns} FROM old.${TABLE} ${where} ORDER BY rowid`);
      done += end - at;
      say({ is: 'at', rows: done, of: total });
    }
  }
  if (place) {
    const { clear, insert } = keepPlace(place);
    await connection.run(clear);
    await connection.run(insert.sql, insert.values);
  }
  await connection.run('DETACH old');
  await connection.run('CHECKPOINT');
  const copied = await new Table(connection, TABLE, []).count();
  connection.closeSync();
  instance.closeSync();
  say({ is: 'copied', rows: copied });
}

async function fresh(into: string, options: InstanceOptions): Promise<void> {
  const instance = await DuckDBInstance.create(into, options);
  const connection = await instance.connect();
  for (const sql of [CREATE, CREATE_PLACE, 'CHECKPOINT']) await connection.run(sql);
  connection.closeSync();
  instance.closeSync();
  say({ is: 'copied', rows: 0 });
}

/** The table of readings, read piece by piece. */
class Table {
  /** The first reason that something in it could not be read. */
  why: string | undefined;
  private readonly connection: DuckDBConnection;
  private readonly name: string;
  private readonly columns: readonly string[];

  constructor(connection: DuckDBConnection, name: string, columns: readonly string[]) {
    this.connection = connection;
    this.name = name;
    this.columns = columns;
  }

  async count(): Promise<number> {
    const [row] = await rowsOf(this.connection, `SELECT count(*) FROM ${this.name}`);
    return Number(row?.[0] ?? 0);
  }

  /** Reads all of every column, which is quicker than piece by piece. */
  async isWhole(rows: number): Promise<boolean> {
    for (const [i, column] of this.columns.entries()) {
      if (!(await this.isReadable([column], ''))) return false;
      say({ is: 'at', rows: Math.round((rows * (i + 1)) / this.columns.length), of: rows });
    }
    return true;
  }

  /** The rows that cannot be read, as exactly as the file's blocks allow. */
  async lost(rows: number): Promise<LostRows[]> {
    const lost: RowRange[] = [];
    for (let at = 0; at < rows; at += GROUP) {
      await this.halve([at, Math.min(at + GROUP, rows)], lost);
      say({ is: 'at', rows: Math.min(at + GROUP, rows), of: rows });
    }
    const described: LostRows[] = [];
    for (const range of lost) {
      described.push(described.length < MOST_DESCRIBED ? await this.describe(range) : nameless(range));
    }
    return described;
  }

  private async halve(range: RowRange, lost: RowRange[]): Promise<void> {
    const [from, to] = range;
    if (await this.isReadable(this.columns, within(range))) return;
    if (to - from > VECTOR) {
      const middle = from + Math.ceil((to - from) / 2 / VECTOR) * VECTOR;
      await this.halve([from, middle], lost);
      await this.halve([middle, to], lost);
      return;
    }
    const last = lost.at(-1);
    if (last?.[1] === from) last[1] = to;
    else lost.push([from, to]);
  }

  private async describe(range: RowRange): Promise<LostRows> {
    const broken: string[] = [];
    for (const column of this.columns) if (!(await this.isReadable([column], within(range)))) broken.push(column);
    const measured = await this.extent('ts', range);
    const received = await this.extent('received', range);
    return {
      rows: range,
      columns: broken,
      sensors: await this.sensors(range),
      ...(measured && { measured }),
      ...(received && { received }),
    };
  }

  private async sensors(range: RowRange): Promise<LostRows['sensors']> {
    const sql = `SELECT DISTINCT farm, sensor FROM ${this.name} ${within(range)} ORDER BY ALL LIMIT ${MOST_SENSORS}`;
    const rows = await this.unlessDamaged(() => rowsOf(this.connection, sql));
    return (rows ?? []).map(([farm, sensor]) => ({ farm: String(farm), sensor: String(sensor) }));
  }

  private async extent(column: string, range: RowRange): Promise<RowRange | undefined> {
    const sql = `SELECT min(${column}), max(${column}) FROM ${this.name} ${within(range)}`;
    const [row] = (await this.unlessDamaged(() => rowsOf(this.connection, sql))) ?? [];
    return row === undefined ? undefined : [Number(row[0]), Number(row[1])];
  }

  private async isReadable(columns: readonly string[], where: string): Promise<boolean> {
    // What is read has to come into the result, or it is not read.
    const read = columns.map((column) => `bit_xor(hash(${column}))`).join(', ');
    const rows = await this.unlessDamaged(() => rowsOf(this.connection, `SELECT ${read} FROM ${this.name} ${where}`));
    return rows !== undefined;
  }

  private async unlessDamaged<T>(read: () => Promise<T>): Promise<T | undefined> {
    try {
      return await read();
    } catch (error) {
      const why = explain(error);
      if (!isDamage(why) && !IS_UNREADABLE.test(why)) throw error;
      this.why ??= why;
      return undefined;
    }
  }
}

/** The disk does not give a block. */
const IS_UNREADABLE = /Could not read from file|Input\/output error/;

function within([from, to]: RowRange): string {
  return `WHERE rowid >= ${from} AND rowid < ${to}`;
}

function nameless(rows: RowRange): LostRows {
  return { rows, columns: [], sensors: [] };
}

/** The columns of readings that the file has. Rejects when it has no such table, or one that is none of ours. */
async function columnsOf(connection: DuckDBConnection, database?: string): Promise<string[]> {
  const of = database === undefined ? 'current_database()' : `'${database}'`;
  const sql = `SELECT column_name FROM duckdb_columns() WHERE database_name = ${of} AND table_name = '${TABLE}'`;
  const found = new Set((await rowsOf(connection, sql)).map(([name]) => String(name)));
  const missing = COLUMNS.filter((column) => !found.has(column));
  if (missing.length > 0) throw new Error(`it has no table "${TABLE}" with the columns ${missing.join(', ')}`);
  return found.has(SUB) ? [...COLUMNS, SUB] : [...COLUMNS];
}

async function placeOf(connection: DuckDBConnection) {
  try {
    const [row] = await rowsOf(connection, FIND_PLACE);
    if (row === undefined) return { isPlaceRead: true };
    const [epoch, offset, taken] = row;
    return { isPlaceRead: true, place: { epoch: String(epoch), offset: Number(offset), taken: Number(taken) } };
  } catch {
    // A file of a version that kept none, or one in which just this cannot be read.
    return { isPlaceRead: false };
  }
}

async function rowsOf(connection: DuckDBConnection, sql: string): Promise<DuckDBValue[][]> {
  return (await connection.runAndReadAll(sql)).getRows();
}

// The first line is what is asked. The end of the input is the end of whoever asks.
createInterface({ input: process.stdin })
  .once('line', (line) => void main(askOf(line)))
  .once('close', () => process.kill(process.pid, 'SIGKILL'));
