import { realpath, rm } from 'node:fs/promises';
import { basename, dirname, join, resolve } from 'node:path';
import { Closed, explain, StoreUnavailable } from '../../core/errors.ts';
import { type ConnectionState, Watched } from '../../core/lifecycle.ts';
import { makeFolder } from '../../core/make-folder.ts';
import { backoff, pause } from '../../core/timing.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { type Disk, Disks } from '../files/disk.ts';
import { lockBy } from '../files/folder-lock.ts';
import type { ExportQuery, HistoryBucket, HistoryQuery, LatestValue, Store } from '../ports/store.ts';
import { refuseUnstorable, refuseWidth, storable } from '../ports/store-checks.ts';
import { movable, type Settings, toRows } from './protocol.ts';
import { DuckdbThread } from './thread.ts';

export interface DuckdbOptions {
  /** Most MB that DuckDB holds in memory; above it, sorting and grouping go to disk. 256 unless told. */
  readonly memoryLimitMb?: number;
  readonly disks?: Disks;
}

/**
 * Opens the DuckDB file `file`, and makes it and its folder when they are not there. The file belongs to this store
 * alone until it is closed. Rejects with StoreUnavailable when it cannot be written or is in use, here or in another
 * process.
 *
 * While `disks` has less room than half its reserve, `write` rejects with StoreUnavailable. DuckDB itself loses nothing
 * on a full disk, but it has to be opened again after each write that fails.
 *
 * Values are rows of a table `readings(farm, sensor, metric, ts, value, received, sub)`: the instant of a value is
 * `ts` (ms) and `sub` (microseconds). Rows are only appended; queries leave out a value that a later row replaces. A file
 * of the last version has no `sub`, and gets it when it is opened.
 */
export async function openDuckdbStore(file: string, options: DuckdbOptions = {}): Promise<Store> {
  const { path, release } = await claim(file);
  const settings = { file: path, memoryLimitMb: options.memoryLimitMb ?? 256 };
  try {
    const disk = await (options.disks ?? new Disks()).at(dirname(path));
    // What DuckDB had moved out of its memory when it was ended.
    await rm(`${path}.tmp`, { recursive: true, force: true });
    const thread = new DuckdbThread(settings);
    await thread.opened;
    return new DuckdbStore(settings, thread, disk, release);
  } catch (error) {
    await release();
    throw error;
  }
}

/**
 * Takes the file for this store alone, by a lock of its own: DuckDB's keeps out neither a second opening by this process
 * nor another process while DuckDB is started again.
 */
async function claim(file: string): Promise<{ path: string; release: () => Promise<void> }> {
  const path = resolve(file);
  try {
    await makeFolder(dirname(path));
    const real = join(await realpath(dirname(path)), basename(path));
    const release = await lockBy(`${real}.lock`, real);
    return { path: real, release };
  } catch (cause) {
    throw new StoreUnavailable(`${path} cannot be used: ${explain(cause)}`, { cause });
  }
}

/**
 * The store over a thread that owns the database. It is up while the thread runs. When the thread ends without being
 * asked, waiting calls reject with StoreUnavailable, the store is down, and new threads are tried with growing pauses
 * until one has opened the file. `close` waits for writes under way and breaks off reads.
 */
class DuckdbStore implements Store {
  private readonly settings: Settings;
  private readonly watched = new Watched();
  private thread: DuckdbThread | undefined;
  private readonly writes = new Set<Promise<unknown>>();
  private readonly disk: Disk;
  private readonly endUse: () => void;
  private readonly closing = new AbortController();
  private readonly living: Promise<void>;
  private readonly release: () => Promise<void>;
  private closed: Promise<void> | undefined;

  constructor(settings: Settings, thread: DuckdbThread, disk: Disk, release: () => Promise<void>) {
    this.settings = settings;
    this.disk = disk;
    this.release = release;
    this.endUse = disk.hold([basename(settings.file)]);
    this.thread = thread;
    this.living = this.live(thread);
  }

  get state(): ConnectionState {
    return this.watched.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.watched.watch(listener);
  }

  async write(readings: readonly Reading[]): Promise<void> {
    const thread = this.usable();
    refuseUnstorable(readings);
    if (readings.length === 0) return;
    const written = this.writeBy(thread, readings);
    this.writes.add(written);
    try {
      await written;
    } finally {
      this.writes.delete(written);
    }
  }

  async latest(farm: string): Promise<LatestValue[]> {
    return (await this.unlessClosed(this.usable().call({ is: 'latest', farm }, 'values'))).values;
  }

  async history(query: HistoryQuery, signal?: AbortSignal): Promise<HistoryBucket[]> {
    const thread = this.usable();
    signal?.throwIfAborted();
    refuseWidth(query.bucket);
    const range = storable(query.from, query.to);
    if (range === undefined || query.sensors.length === 0) return [];
    const { id, answer } = thread.begin({ is: 'history', query: { ...query, ...range } }, 'buckets');
    const leave = onAbort(signal, () => leaveTo(thread, id));
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
    const thread = this.usable();
    signal?.throwIfAborted();
    const range = storable(query.from, query.to);
    if (range === undefined || query.sensors.length === 0 || query.metrics?.length === 0) return;
    const { id, answer } = thread.begin({ is: 'export', query: { ...query, ...range } }, 'done');
    await this.unlessClosed(answer);
    const leave = onAbort(signal, () => leaveTo(thread, id));
    let atEnd = false;
    try {
      while (!atEnd) {
        const { values } = await this.unlessClosed(thread.call({ is: 'next', of: id }, 'values'));
        signal?.throwIfAborted();
        yield* values;
        atEnd = values.length === 0;
      }
    } catch (error) {
      signal?.throwIfAborted();
      throw error;
    } finally {
      leave.off();
      if (!atEnd) await leaveTo(thread, id);
    }
  }

  private async writeBy(thread: DuckdbThread, readings: readonly Reading[]): Promise<void> {
    try {
      await this.disk.assertRoom('work');
    } catch (cause) {
      throw new StoreUnavailable('DuckDB', { cause });
    }
    const rows = toRows(readings);
    await thread.call({ is: 'write', rows }, 'done', movable(rows));
  }

  close(): Promise<void> {
    this.closed ??= this.shut();
    return this.closed;
  }

  private async shut(): Promise<void> {
    this.closing.abort();
    await Promise.allSettled(this.writes);
    await this.thread?.close();
    await this.living;
    this.endUse();
    await this.release();
    this.watched.set({ is: 'closed' });
  }

  /** Starts a new thread each time the last one has ended, until the store is closed. */
  private async live(first: DuckdbThread): Promise<void> {
    let why = await first.ended;
    for (let attempt = 0; !this.closing.signal.aborted; attempt += 1) {
      this.thread = undefined;
      this.watched.set({ is: 'down', since: Date.now(), why });
      await pause(backoff(attempt), this.closing.signal);
      if (this.closing.signal.aborted) return;
      const next = new DuckdbThread(this.settings);
      try {
        await next.opened;
        this.thread = next;
        this.watched.set({ is: 'up' });
        attempt = -1;
      } catch {
        // `ended` tells why.
      }
      why = await this.endOf(next);
    }
  }

  private async endOf(thread: DuckdbThread): Promise<string> {
    if (this.closing.signal.aborted) await thread.close();
    return await thread.ended;
  }

  private usable(): DuckdbThread {
    if (this.closing.signal.aborted) throw new Closed('the store');
    if (this.thread) return this.thread;
    const { state } = this;
    throw new StoreUnavailable(`DuckDB is restarting: ${state.is === 'down' ? state.why : state.is}`);
  }

  /** A read that fails because the store closes rejects with Closed: the database did not refuse it. */
  private async unlessClosed<T>(asked: Promise<T>): Promise<T> {
    try {
      return await asked;
    } catch (error) {
      if (this.closing.signal.aborted) throw new Closed('the store');
      throw error;
    }
  }
}

/** Ends a query. If the thread is gone, the query has ended with it. */
async function leaveTo(thread: DuckdbThread, id: number): Promise<void> {
  await thread.call({ is: 'leave', of: id }, 'done').catch(() => {});
}

/** Calls `leave` when the signal is aborted, until `off`. */
function onAbort(signal: AbortSignal | undefined, leave: () => Promise<void>): { off(): void } {
  const left = () => void leave();
  signal?.addEventListener('abort', left, { once: true });
  return { off: () => signal?.removeEventListener('abort', left) };
}
