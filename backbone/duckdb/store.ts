import { realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Closed, explain, StoreUnavailable } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { makeFolder } from '../../core/make-folder.ts';
import type { Metrics } from '../../core/metrics.ts';
import { pause } from '../../core/timing.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { type Disk, Disks } from '../files/disk.ts';
import { lockBy } from '../files/folder-lock.ts';
import type { ExportQuery, HistoryBucket, HistoryQuery, LatestValue, Store, WriteOptions } from '../ports/store.ts';
import { refuseUnstorable, refuseWidth, storable } from '../ports/store-checks.ts';
import { refuseName } from './file-name.ts';
import { openAtStart } from './opening.ts';
import type { DuckdbProcess } from './process.ts';
import { columnsOf, toRows } from './protocol.ts';
import { assertRoom } from './room.ts';
import { type LiveLog, Runs } from './runs.ts';

export interface DuckdbOptions {
  /** Most MB that DuckDB holds in memory; above it, sorting and grouping go to disk. 256 unless told. */
  readonly memoryLimitMb?: number;
  readonly disks?: Disks;
  /** The log that everything is announced on before it is written. Without it DuckDB's own log is all there is after a crash. */
  readonly live?: LiveLog;
  /** How old the newest checkpoint gets while something is written, ms. Five minutes unless told. */
  readonly checkpointMs?: number;
  /** How long DuckDB's process may say nothing before it is ended and started again, ms. A minute unless told. */
  readonly mostSilentMs?: number;
  /** How long entries of the live log that the disk does not give are tried to be read, ms. Ten minutes unless told. */
  readonly longestUnreadMs?: number;
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
  const { path, disk, release } = await claim(file, options.disks ?? new Disks());
  const settings = { file: path, memoryLimitMb: options.memoryLimitMb ?? 256, mostSilentMs: options.mostSilentMs };
  try {
    // What DuckDB had moved out of its memory when it was ended.
    await rm(`${path}.tmp`, { recursive: true, force: true });
    const first = await openAtStart(settings, options.log);
    const runs = new Runs({ ...options, settings, disk, first });
    const store = new DuckdbStore(runs, disk, release);
    const begun = new AbortController();
    void runs.begun.then(() => begun.abort());
    await pause(LONGEST_START_MS, begun.signal);
    return store;
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * Takes the file for this store alone, by a lock of its own: DuckDB's keeps out neither a second opening by this process
 * nor another process while DuckDB is started again.
 */
async function claim(file: string, disks: Disks): Promise<{ path: string; disk: Disk; release: () => Promise<void> }> {
  const path = resolve(file);
  try {
    await makeFolder(dirname(path));
    const real = join(await realpath(dirname(path)), basename(path));
    refuseName(real);
    const unlock = await lockBy(`${real}.lock`, real);
    try {
      const disk = await disks.at(dirname(real));
      const endUse = disk.hold();
      const release = async () => {
        endUse();
        await unlock();
      };
      return { path: real, disk, release };
    } catch (error) {
      await unlock();
      throw error;
    }
  } catch (cause) {
    throw new StoreUnavailable(`${path} cannot be used: ${explain(cause)}`, { cause });
  }
}

/** The store over a process that owns the database. `close` waits for writes under way and breaks off reads. */
class DuckdbStore implements Store {
  private readonly runs: Runs;
  private readonly disk: Disk;
  private closing = false;
  private readonly release: () => Promise<void>;
  private closed: Promise<void> | undefined;

  constructor(runs: Runs, disk: Disk, release: () => Promise<void>) {
    this.runs = runs;
    this.disk = disk;
    this.release = release;
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
    await this.release();
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
