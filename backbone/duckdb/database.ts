import {
  BIGINT,
  DOUBLE,
  type DuckDBConnection,
  DuckDBDataChunk,
  DuckDBInstance,
  type DuckDBValue,
  SMALLINT,
  VARCHAR,
} from '@duckdb/node-api';
import pLimit from 'p-limit';
import { clock } from '../../core/clock.ts';
import { dayEdges, dayRuns } from '../../telemetry/calendar.ts';
import { MAX_AHEAD_MS } from '../../telemetry/clock.ts';
import { instantOfMicros, msOf, subOf } from '../../telemetry/instant.ts';
import type { Days, HistoryBucket, HistoryQuery, LatestValue } from '../ports/store.ts';
import { Exports } from './exports.ts';
import type { Statement } from './field-sql.ts';
import { NewestValues } from './newest.ts';
import type { KeptPlace, OpenedFile, RowColumns, Settings } from './protocol.ts';
import {
  ADD_SUB,
  CREATE,
  CREATE_PLACE,
  dailyHistory,
  extent,
  FIND_PLACE,
  FIND_TABLES,
  fixedHistory,
  keepPlace,
  newest,
  TABLE,
} from './sql.ts';

const COLUMNS = [VARCHAR, VARCHAR, VARCHAR, BIGINT, DOUBLE, BIGINT, SMALLINT];
const CHUNK = 2048;

// A running statement blocks one of the four threads that files, names and compression share: leave two for them.
const MAX_READS = 2;

/** The open database: one connection that writes, one for each read. */
export class Database {
  readonly exports: Exports;
  /** What was in the file when it was opened. */
  readonly found: OpenedFile;
  private readonly instance: DuckDBInstance;
  private readonly writer: DuckDBConnection;
  private readonly turns = pLimit({ concurrency: MAX_READS, rejectOnClear: true });
  /** Writes and checkpoints, one after the other: a checkpoint has all that was asked for before it. */
  private readonly writing = pLimit(1);
  /** The connections of running statements, each with the id of the history that it is part of. */
  private readonly reading = new Map<DuckDBConnection, number | undefined>();
  /** Ids of the histories that a caller still waits for. */
  private readonly asked = new Set<number>();
  private readonly newest = new NewestValues();
  private loading: Promise<void> | undefined;

  private constructor(instance: DuckDBInstance, writer: DuckDBConnection, found: OpenedFile) {
    this.instance = instance;
    this.writer = writer;
    this.found = found;
    this.exports = new Exports(instance, this.turns);
  }

  /** Opens the file, made new when it is not there, and brought up to date when the last version made it. */
  static async open({ file, memoryLimitMb }: Settings): Promise<Database> {
    const instance = await DuckDBInstance.create(file, { threads: '2', memory_limit: `${memoryLimitMb}MB` });
    const writer = await instance.connect();
    const tables = (await writer.runAndReadAll(FIND_TABLES)).getRows().map(([name]) => String(name));
    for (const sql of ['BEGIN', CREATE, ADD_SUB, CREATE_PLACE, 'COMMIT']) await writer.run(sql);
    const kept = toPlace((await writer.runAndReadAll(FIND_PLACE)).getRows());
    // What was taken from DuckDB's own log is in the file from here on. A log that it could not read whole would stay
    // otherwise, and be added to.
    await writer.run('CHECKPOINT');
    return new Database(instance, writer, { kept, mayLack: tables.length !== 1 || tables[0] !== TABLE });
  }

  /** Resolves when the rows are committed and on disk. */
  write(rows: RowColumns): Promise<void> {
    return this.writing(async () => {
      const appender = await this.writer.createAppender(TABLE);
      for (let from = 0; from < rows.ts.length; from += CHUNK) appender.appendDataChunk(chunkOf(rows, from));
      // Commits, and waits for the disk.
      appender.closeSync();
      this.remember(rows);
    });
  }

  /**
   * Resolves when the file itself has every write asked for before. It then needs DuckDB's own log for none of them.
   * The place is committed after them, so that no file has a place without what was written before it.
   */
  checkpoint(place: KeptPlace | undefined): Promise<void> {
    return this.writing(async () => {
      if (place) {
        const { clear, insert } = keepPlace(place);
        await this.writer.run('BEGIN');
        await this.writer.run(clear);
        await this.writer.run(insert.sql, insert.values);
        await this.writer.run('COMMIT');
      }
      await this.writer.run('CHECKPOINT');
    });
  }

  /** The first call reads the whole file; later ones answer from memory. */
  async latest(farm: string): Promise<LatestValue[]> {
    await this.loaded();
    return this.newest.of(farm);
  }

  /** `leave(id)` ends the query, and then this rejects. */
  async history(id: number, query: HistoryQuery): Promise<HistoryBucket[]> {
    this.asked.add(id);
    try {
      const { bucket } = query;
      const statement = 'ms' in bucket ? fixedHistory(query, bucket.ms) : await this.byDays(id, query, bucket);
      return statement === undefined ? [] : toBuckets(await this.read(statement, id));
    } finally {
      this.asked.delete(id);
    }
  }

  /** Ends a history or an export that nobody waits for any more. */
  leave(id: number): void {
    this.asked.delete(id);
    for (const [connection, of] of this.reading) if (of === id) connection.interrupt();
    this.exports.leave(id);
  }

  /** Interrupts reads and closes the file. */
  close(): void {
    this.turns.clearQueue();
    for (const connection of this.reading.keys()) connection.interrupt();
    this.exports.leaveAll();
    this.writer.closeSync();
    this.instance.closeSync();
  }

  /** Only the part of the range that holds values is cut into days: an open range would otherwise make a century of them. */
  private async byDays(id: number, query: HistoryQuery, { daysIn, days }: Days): Promise<Statement | undefined> {
    const [row] = await this.read(extent({ ...query, metrics: [query.metric] }), id);
    const [first, last] = row ?? [];
    if (typeof first !== 'bigint' || typeof last !== 'bigint') return undefined;
    return dailyHistory(query, dayRuns(dayEdges(daysIn, Number(first), Number(last) + 1, days)));
  }

  private async loaded(): Promise<void> {
    this.loading ??= this.load();
    try {
      await this.loading;
    } catch (error) {
      this.loading = undefined;
      throw error;
    }
  }

  private async load(): Promise<void> {
    const now = clock.now();
    for (const [farm, sensor, metric, micros, value, received] of await this.read(newest(now + MAX_AHEAD_MS))) {
      const found = {
        sensor: String(sensor),
        metric: String(metric),
        ts: instantOfMicros(Number(micros)),
        value: Number(value),
        received: Number(received),
      };
      this.newest.found(String(farm), found, now);
    }
  }

  private remember({ names, farm, sensor, metric, ts, value, received }: RowColumns): void {
    const name = (places: Uint32Array, row: number) => names[places[row] ?? 0] ?? '';
    const now = clock.now();
    for (let row = 0; row < ts.length; row += 1) {
      const written = {
        sensor: name(sensor, row),
        metric: name(metric, row),
        ts: ts[row] ?? 0,
        value: value[row] ?? 0,
        received: received[row] ?? 0,
      };
      this.newest.written(name(farm, row), written, now);
    }
  }

  private read({ sql, values }: Statement, history?: number): Promise<DuckDBValue[][]> {
    return this.turns(async () => {
      const connection = await this.instance.connect();
      this.reading.set(connection, history);
      try {
        if (history !== undefined && !this.asked.has(history)) throw new Error('nobody waits for it any more');
        return (await connection.runAndReadAll(sql, values)).getRows();
      } finally {
        this.reading.delete(connection);
        connection.closeSync();
      }
    });
  }
}

function toPlace([row]: readonly DuckDBValue[][]): KeptPlace | undefined {
  if (row === undefined) return undefined;
  const [epoch, offset, taken] = row;
  return { epoch: String(epoch), offset: Number(offset), taken: Number(taken) };
}

function toBuckets(rows: readonly DuckDBValue[][]): HistoryBucket[] {
  return rows.map(([ts, last, min, max, mean, count, received]) => ({
    ts: Number(ts),
    last: Number(last),
    min: Number(min),
    max: Number(max),
    mean: Number(mean),
    count: Number(count),
    received: Number(received),
  }));
}

/** The rows beginning at `from` as DuckDB takes them, at most a chunk. */
function chunkOf(rows: RowColumns, from: number): DuckDBDataChunk {
  const to = Math.min(from + CHUNK, rows.ts.length);
  const names = (places: Uint32Array) => Array.from(places.subarray(from, to), (place) => rows.names[place] ?? '');
  const chunk = DuckDBDataChunk.create(COLUMNS, to - from);
  chunk.setColumns([
    names(rows.farm),
    names(rows.sensor),
    names(rows.metric),
    Array.from(rows.ts.subarray(from, to), (ts) => BigInt(msOf(ts))),
    Array.from(rows.value.subarray(from, to)),
    Array.from(rows.received.subarray(from, to), BigInt),
    Array.from(rows.ts.subarray(from, to), subOf),
  ]);
  return chunk;
}
