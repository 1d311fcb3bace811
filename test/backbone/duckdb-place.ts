import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { LIVE_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Store, WriteOptions } from '../../backbone/ports/store.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { Metrics } from '../../core/metrics.ts';
import { batchId, encodeLive } from '../../telemetry/batch.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { until } from '../services/wait.ts';
import { everything } from './store-readings.ts';

export interface PlaceOptions {
  readonly over?: (live: Log) => Log;
  readonly maxBytes?: number;
  readonly mostSilentMs?: number;
  readonly longestUnreadMs?: number;
}

/** A DuckDB store and its live log in one folder, used as a worker uses them. */
export class DuckdbPlace {
  readonly folder: string;
  readonly live: Log;
  readonly store: Store;
  readonly gaps: string[] = [];
  /** The offset that the store needed last; undefined before it said any. */
  neededFrom: number | undefined;
  private readonly metrics: Metrics;

  private constructor(folder: string, live: Log, metrics: Metrics, store: Store) {
    this.folder = folder;
    this.live = live;
    this.metrics = metrics;
    this.store = store;
  }

  /** `over`: the live log as the store sees it. The log is kept as long as `maxBytes` allows, whatever the store needs. */
  static async open(
    folder: string,
    { over = (live) => live, maxBytes = LIVE_LOG_LIMITS.maxBytes, ...limits }: PlaceOptions = {},
  ): Promise<DuckdbPlace> {
    const live = await openFileLog(join(folder, 'log'), 'live', { ...LIVE_LOG_LIMITS, maxBytes });
    const metrics = new Metrics();
    const heard: { place?: DuckdbPlace; needed?: number; gaps: string[] } = { gaps: [] };
    const store = await openDuckdbStore(fileIn(folder), {
      ...limits,
      metrics,
      live: {
        log: over(live),
        needs: (offset) => {
          heard.needed = offset;
          if (heard.place) heard.place.neededFrom = offset;
        },
        gap: (why) => (heard.place?.gaps ?? heard.gaps).push(why),
      },
    });
    const place = new DuckdbPlace(folder, live, metrics, store);
    place.neededFrom = heard.needed;
    place.gaps.push(...heard.gaps);
    heard.place = place;
    return place;
  }

  /** Announces readings and writes them; tries again while the store is away. Resolves when both are done. */
  async take(readings: readonly Reading[]): Promise<void> {
    const over = this.store.announcing?.();
    try {
      await Promise.all([this.announce(readings), this.write(readings)]);
    } finally {
      over?.();
    }
  }

  async announce(readings: readonly Reading[]): Promise<void> {
    await this.live.append(encodeLive({ id: batchId(), readings }));
  }

  async write(readings: readonly Reading[], options?: WriteOptions): Promise<void> {
    for (;;) {
      await this.up();
      try {
        return await this.store.write(readings, options);
      } catch (error) {
        if (!(error instanceof StoreUnavailable)) throw error;
      }
    }
  }

  async up(): Promise<void> {
    await until('the store to be up', () => this.store.state.is === 'up', { timeoutMs: 60_000 });
  }

  /** The times of all stored readings. */
  async times(): Promise<Set<number>> {
    await this.up();
    return new Set((await everything(this.store)).map(([ts]) => ts));
  }

  /** What `loam_duckdb_events_total` shows for an event. */
  async events(event: string): Promise<number> {
    const [, count] = new RegExp(`^loam_duckdb_events_total\\{event="${event}"\\} (\\d+)$`, 'm').exec(
      await this.metrics.text(),
    ) ?? [undefined, '0'];
    return Number(count);
  }

  /** Ends the database's process as a crash does. With `withoutWal` only the file itself is left for the next one. */
  async crash({ withoutWal = false } = {}): Promise<void> {
    const down = new Promise<void>((resolve) => {
      const unwatch = this.store.watch(({ is }) => {
        if (is !== 'down') return;
        unwatch();
        resolve();
      });
    });
    process.kill(await duckdbProcessOf(fileIn(this.folder)), 'SIGKILL');
    if (withoutWal) await rm(`${fileIn(this.folder)}.wal`, { force: true });
    await down;
  }

  async close(): Promise<void> {
    await this.store.close();
    await this.live.close();
  }
}

export function fileIn(folder: string): string {
  return join(folder, 'readings.duckdb');
}

/** The id of the process that has the DuckDB file open; rejects when there is none. */
export async function duckdbProcessOf(file: string): Promise<number> {
  const { stdout } = await promisify(execFile)('pgrep', ['-f', `duckdb/main.*${file}`]);
  return Number(stdout.trim().split('\n')[0]);
}

/** Opens places for the tests of the `describe` that it is called in, and closes them after each. */
export function openedUntilAfter(): (folder: string, options?: PlaceOptions) => Promise<DuckdbPlace> {
  const places: DuckdbPlace[] = [];
  afterEach(async () => {
    for (const place of places.splice(0)) await place.close();
  });
  return async (folder, options) => {
    const place = await DuckdbPlace.open(folder, options);
    places.push(place);
    return place;
  };
}
