import { mkdir, realpath } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Closed, explain, StoreUnavailable } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { pause } from '../../core/timing.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { type Disk, Disks } from '../files/disk.ts';
import type { ExportQuery, HistoryBucket, HistoryQuery, LatestValue, Store, WriteOptions } from '../ports/store.ts';
import { refuseUnstorable, refuseWidth, storable } from '../ports/store-checks.ts';
import { openAtStart } from './opening.ts';
import type { DuckdbProcess } from './process.ts';
import { columnsOf, toRows } from './protocol.ts';
import { assertRoom, type LiveLog, Runs } from './runs.ts';

export interface DuckdbOptions {
  /** Most MB that DuckDB holds in memory; above it, sorting and grouping go to disk. 256 unless told. */
  readonly memoryLimitMb?: number;
  readonly disks?: Disks;
  /** The log that everything is announced on before it is written. Without it DuckDB's own log is all there is after a crash. */
  readonly live?: LiveLog;
  /** How old the newest checkpoint gets while something is written, ms. Five minutes unless told. */
  readonly checkpointMs?: number;
  readonly log?: Logger;
  readonly metrics?: Metrics;
}

/** How long the opening waits for readings that are written again, ms. It goes on without: the store is down until they are. */
const LONGEST_START_MS = 2_000;

/**
 * Opens the DuckDB file `file`, and makes it and its folder when they are not there. The file belongs to this store
 * alone until it is closed. Rejects with StoreUnavailable when it may not be written or is in use, here or in another
 * process. When it cannot be opened for any other reason, such as damage, the store is down, and says why.
 *
 * While `disks` has less room than half its reserve, `write` rejects with StoreUnavailable. DuckDB itself loses nothing
 * on a full disk, but it has to be opened again after each write that fails.
 *
 * Values are rows of a table `readings(farm, sensor, metric, ts, value, received, sub)`: the instant of a value is
 * `ts` (ms) and `sub` (microseconds). Rows are only appended; queries leave out a value that a later row replaces. A file
 * of the last version has no `sub`, and gets it when it is opened.
 */
export async function openDuckdbStore(file: string, options: DuckdbOptions = {}): Promise<Store> {
  const settings = { file: await claim(file), memoryLimitMb: options.memoryLimitMb ?? 256 };
  try {
    const disk = await (options.disks ?? new Disks()).at(dirname(settings.file));
    const first = await openAtStart(settings, options.log);
    const runs = new Runs({ ...options, settings, disk, first });
    const store = new DuckdbStore(settings.file, runs, disk);
    const begun = new AbortController();
    void runs.begun.then(() => begun.abort());
    await pause(LONGEST_START_MS, begun.signal);
    return store;
  } catch (error) {
    claimed.delete(settings.file);
    throw error;
  }
}

// The file's lock keeps other processes out, but not a second opening by this one.
const claimed = new Set<string>();

async function claim(file: string): Promise<string> {
  const path = resolve(file);
  let real: string;
  try {
    await mkdir(dirname(path), { recursive: true });
    real = join(await realpath(dirname(path)), basename(path));
  } catch (cause) {
    throw new StoreUnavailable(`the folder of ${path} cannot be used: ${explain(cause)}`, { cause });
  }
  if (claimed.has(real)) throw new StoreUnavailable(`${real} is in use by this process already`);
  claimed.add(real);
  return real;
}

/** The store over a process that owns the database. `close` waits for writes under way and breaks off reads. */
class DuckdbStore implements Store {
  private readonly file: string;
  private readonly runs: Runs;
  private readonly disk: Disk;
  private readonly endUse: () => void;
  private closing = false;
  private closed: Promise<void> | undefined;

  constructor(file: string, runs: Runs, disk: Disk) {
    this.file = file;
    this.runs = runs;
    this.disk = disk;
    this.endUse = disk.hold();
  }

  get state(): ConnectionState {
    return this.runs.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.runs.watch(listener);
  }

  announcing(): () => void {
    return this.runs.announcing();
  }

  async write(readings: readonly Reading[], { checkpointed }: WriteOptions = {}): Promise<void> {
    const { process, checkpoints } = this.runs.current();
    refuseUnstorable(readings);
    if (readings.length === 0) return;
    await this.runs.writing(this.writeBy(process, readings));
    // Of the same run: another one may have begun without these readings.
    if (checkpointed) await checkpoints.take();
  }

  async latest(farm: string): Promise<LatestValue[]> {
    return (await this.unlessClosed(this.usable().call({ is: 'latest', farm }, 'values'))).values;
  }

  async history(query: HistoryQuery, signal?: AbortSignal): Promise<HistoryBucket[]> {
    const process = this.usable();
    signal?.throwIfAborted();
    refuseWidth(query.bucket);
    const range = storable(query.from, query.to);
    if (range === undefined || query.sensors.length === 0) return [];
    const { id, answer } = process.begin({ is: 'history', query: { ...query, ...range } }, 'buckets');
    const leave = onAbort(signal, () => leaveTo(process, id));
    try {
      return (await this.unlessClosed(answer)).buckets;
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      leave.off();
    }
  }

  async *export(query: ExportQuery, signal?: AbortSignal): AsyncIterable<LatestValue> {
    const process = this.usable();
    signal?.throwIfAborted();
    const range = storable(query.from, query.to);
    if (range === undefined || query.sensors.length === 0 || query.metrics?.length === 0) return;
    const { id, answer } = process.begin({ is: 'export', query: { ...query, ...range } }, 'done');
    await this.unlessClosed(answer);
    const leave = onAbort(signal, () => leaveTo(process, id));
    let atEnd = false;
    try {
      while (!atEnd) {
        const { values } = await this.unlessClosed(process.call({ is: 'next', of: id }, 'values'));
        signal?.throwIfAborted();
        yield* values;
        atEnd = values.length === 0;
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      leave.off();
      if (!atEnd) await leaveTo(process, id);
    }
  }

  close(): Promise<void> {
    this.closed ??= this.shut();
    return this.closed;
  }

  private async writeBy(process: DuckdbProcess, readings: readonly Reading[]): Promise<number> {
    await assertRoom(this.disk);
    const rows = toRows(readings);
    const count = rows.ts.length;
    await process.call({ is: 'write', names: rows.names, count }, 'done', columnsOf(rows));
    return count;
  }

  private async shut(): Promise<void> {
    this.closing = true;
    await this.runs.close();
    claimed.delete(this.file);
    this.endUse();
  }

  private usable(): DuckdbProcess {
    return this.runs.current().process;
  }

  /** A read that fails because the store closes rejects with Closed: the database did not refuse it. */
  private async unlessClosed<T>(asked: Promise<T>): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      if (this.closing) throw new Closed('the store');
      throw error;
    }
  }
}

/** Ends a query. If the process is gone, the query has ended with it. */
async function leaveTo(process: DuckdbProcess, id: number): Promise<void> {
  await process.call({ is: 'leave', of: id }, 'done').catch(() => {});
}

/** Calls `leave` when the signal is aborted, until `off`. */
function onAbort(signal: AbortSignal | undefined, leave: () => Promise<void>): { off(): void } {
  const left = () => void leave();
  signal?.addEventListener('abort', left, { once: true });
  return { off: () => signal?.removeEventListener('abort', left) };
}
