import { basename } from 'node:path';
import { clock } from '../../core/clock.ts';
import { Closed, explain, LogUnavailable, StoreUnavailable } from '../../core/errors.ts';
import { type ConnectionState, Watched } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { backoff, pause } from '../../core/timing.ts';
import type { Disk } from '../files/disk.ts';
import type { Log } from '../ports/log.ts';
import { isStuck } from './answer-watch.ts';
import { CHECKPOINT_MS, Checkpoints } from './checkpoints.ts';
import { damaged, isDamage } from './damage.ts';
import { type OpenDatabase, openDatabase, replaced } from './opening.ts';
import type { DuckdbProcess } from './process.ts';
import { columnsOf, type KeptPlace, type Settings, toRows } from './protocol.ts';
import { gapsInWords, type Rewriting, type Rewritten, rewrite, rewrittenInWords } from './rewriting.ts';
import { assertRoom } from './room.ts';

/** The live log, as the store needs it. */
export interface LiveLog {
  readonly log: Log;
  /** Called with the offset from which on the store needs the log's entries, each time that it changes. */
  readonly needs?: (offset: number) => void;
  /** Called when readings may be missing because the log has not all entries that are needed; `why` is for a person. */
  readonly gap?: (why: string) => void;
}

export interface RunsParts {
  readonly settings: Settings;
  readonly disk: Disk;
  /** What the first opening came to. */
  readonly first: OpenDatabase | StoreUnavailable;
  readonly live?: LiveLog;
  readonly checkpointMs?: number;
  readonly longestUnreadMs?: number;
  readonly log?: Logger;
  readonly metrics?: Metrics;
}

/** A run in which the database can be used. */
export interface DatabaseRun {
  readonly process: DuckdbProcess;
  readonly checkpoints: Checkpoints;
}

const LONGEST_PAUSE_MS = 30_000;
/**
 * How long entries of the live log are tried to be read that the disk does not give, ms. The store is down meanwhile. Then
 * they are left out, which is said: one bad place on a disk must not keep it down for ever.
 */
const LONGEST_UNREAD_MS = 600_000;

/**
 * Runs of the database's process, one after the other until `close`: each opens the file, writes again what the live log
 * has from the newest checkpoint on, and is up from then on until its process ends. Pauses between runs that fail grow.
 * After damage there is no new run before the file is another one.
 */
export class Runs {
  /** Resolves when the first run is up, or has failed. */
  readonly begun: Promise<void>;
  private readonly parts: RunsParts;
  private readonly watched = new Watched();
  private readonly closing = new AbortController();
  private readonly living: Promise<void>;
  /** What callers have begun and what is not in the database yet. */
  private readonly writes = new Set<Promise<unknown>>();
  private readonly announcements = new Set<Promise<void>>();
  private readonly events = {
    restarted: 0,
    stuck: 0,
    checkpoints: 0,
    checkpoints_failed: 0,
    rewritten: 0,
    left_out: 0,
  };
  private run: DatabaseRun | undefined;
  private why = 'it is being opened';
  private checkpointAt: number | undefined;
  /** Since when the live log has not given everything that is to be written again; undefined when it did the last time. */
  private unreadSince: number | undefined;

  constructor(parts: RunsParts) {
    this.parts = parts;
    this.watched.set({ is: 'down', since: clock.now(), why: this.why });
    let begun = () => {};
    this.begun = new Promise((resolve) => {
      begun = resolve;
    });
    this.count();
    this.living = this.live(begun);
  }

  get state(): ConnectionState {
    const { state } = this.watched;
    return state.is === 'down' ? { ...state, why: this.why } : state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.watched.watch(listener);
  }

  /** The run to work with. Throws Closed, and StoreUnavailable while there is none. */
  current(): DatabaseRun {
    if (this.closing.signal.aborted) throw new Closed('the store');
    if (this.run) return this.run;
    throw new StoreUnavailable(`DuckDB is not available: ${this.why}`);
  }

  /** Settles as `written` does, which resolves with the number of values. Checkpoints and `close` wait for it. */
  async writing(written: Promise<number>): Promise<void> {
    this.writes.add(written);
    try {
      const values = await written;
      this.run?.checkpoints.wrote(values);
    } finally {
      this.writes.delete(written);
    }
  }

  announcing(): () => void {
    let over = () => {};
    const announcement = new Promise<void>((resolve) => {
      over = resolve;
    });
    this.announcements.add(announcement);
    return () => {
      this.announcements.delete(announcement);
      over();
    };
  }

  /** Waits for writes, takes a last checkpoint, and ends the process. */
  async close(): Promise<void> {
    this.closing.abort();
    const { run } = this;
    run?.process.hurry();
    await Promise.allSettled(this.writes);
    await run?.checkpoints.takeLast();
    await run?.process.close();
    await this.living;
    this.watched.set({ is: 'closed' });
  }

  private async live(begun: () => void): Promise<void> {
    const { settings, first, log } = this.parts;
    const { signal } = this.closing;
    let opened = first;
    for (let failures = 0; ; failures += 1) {
      const { why, wasUp } = await this.runOnce(opened, begun);
      if (isStuck(why)) this.events.stuck += 1;
      if (signal.aborted) return;
      if (wasUp) failures = 0;
      this.isDown(why, wasUp);
      begun();
      if (isDamage(why)) await replaced(settings.file, signal);
      else await pause(backoff(failures, 100, LONGEST_PAUSE_MS), signal);
      if (signal.aborted) return;
      this.events.restarted += 1;
      opened = await openDatabase(settings, log).catch((error) =>
        error instanceof StoreUnavailable ? error : new StoreUnavailable('DuckDB', { cause: error }),
      );
    }
  }

  /** Resolves when the run is over, with the reason. */
  private async runOnce(
    opened: OpenDatabase | StoreUnavailable,
    begun: () => void,
  ): Promise<{ why: string; wasUp: boolean }> {
    if (opened instanceof StoreUnavailable) return { why: explain(opened), wasUp: false };
    const { process } = opened;
    const { disk, settings } = this.parts;
    disk.follow([basename(settings.file)]);
    try {
      await this.catchUp(opened);
      this.closing.signal.throwIfAborted();
    } catch (error) {
      const why = explain(error);
      await process.close(why);
      disk.follow([]);
      return { why, wasUp: false };
    }
    const checkpoints = this.checkpointsOf(process);
    this.run = { process, checkpoints };
    this.isUp();
    begun();
    const why = await process.ended;
    disk.follow([]);
    this.run = undefined;
    checkpoints.stop();
    return { why, wasUp: true };
  }

  /** Brings the database to where the live log is. */
  private async catchUp({ process, kept, mayLack, hadWal }: OpenDatabase): Promise<void> {
    const { live, disk } = this.parts;
    if (!live) return;
    const from = kept ?? (mayLack || hadWal ? 'first' : undefined);
    const checkpoint = async (place: KeptPlace) => {
      await process.call({ is: 'checkpoint', place }, 'done');
      this.tookCheckpoint(place);
    };
    const begunAt = clock.now();
    if (from === undefined) {
      // A file of a version that kept no place, and closed it: it has everything.
      const { epoch, next } = await live.log.head();
      return await checkpoint({ epoch, offset: next, taken: begunAt });
    }
    live.needs?.(0);
    const rewritten = await this.untilRead({
      live: live.log,
      from,
      signal: this.closing.signal,
      isWhole: !this.hasWaitedForLog(),
      checkpoint: (place) => checkpoint({ ...place, taken: begunAt }),
      write: async (readings) => {
        await assertRoom(disk);
        const rows = toRows(readings);
        await process.call({ is: 'write', names: rows.names, count: rows.ts.length }, 'done', columnsOf(rows));
        this.events.rewritten += readings.length;
        this.why = `readings are being written again from the live log, ${this.events.rewritten} so far`;
      },
    });
    await checkpoint({ ...rewritten.place, taken: begunAt });
    this.sayRewritten(rewritten, from);
  }

  /** As `rewrite`, and keeps in mind since when the live log does not give everything. */
  private async untilRead(work: Rewriting): Promise<Rewritten> {
    try {
      const rewritten = await rewrite(work);
      this.unreadSince = undefined;
      return rewritten;
    } catch (error) {
      if (error instanceof LogUnavailable) this.unreadSince ??= clock.passed();
      throw error;
    }
  }

  private hasWaitedForLog(): boolean {
    const { longestUnreadMs = LONGEST_UNREAD_MS } = this.parts;
    return this.unreadSince !== undefined && clock.passed() - this.unreadSince >= longestUnreadMs;
  }

  private checkpointsOf(process: DuckdbProcess): Checkpoints {
    const { live, log, checkpointMs = CHECKPOINT_MS } = this.parts;
    return new Checkpoints({
      process,
      live: live?.log,
      begun: () => [...this.writes, ...this.announcements],
      took: (place) => this.tookCheckpoint(place),
      failed: () => {
        this.events.checkpoints_failed += 1;
      },
      everyMs: checkpointMs,
      log,
    });
  }

  private tookCheckpoint(place: KeptPlace | undefined): void {
    this.events.checkpoints += 1;
    this.checkpointAt = clock.passed();
    if (place) this.parts.live?.needs?.(place.offset);
  }

  private isDown(why: string, wasUp: boolean): void {
    const { file } = this.parts.settings;
    const before = this.why;
    this.why = isDamage(why) ? damaged(file, why) : why;
    if (wasUp || this.why !== before) {
      this.parts.log?.error({ event: 'store_down', file }, `DuckDB is not available: ${this.why}`);
    }
    this.watched.set({ is: 'down', since: clock.now(), why: this.why });
  }

  private isUp(): void {
    const isBack = this.events.restarted > 0;
    this.watched.set({ is: 'up' });
    if (isBack)
      this.parts.log?.info({ event: 'store_up', file: this.parts.settings.file }, 'DuckDB is available again');
  }

  private sayRewritten(rewritten: Rewritten, from: KeptPlace | 'first'): void {
    const { log, live, settings } = this.parts;
    const { file } = settings;
    const { readings, leftOut } = rewritten;
    this.events.left_out += leftOut;
    if (readings > 0) {
      log?.warn({ event: 'store_rewritten', file, readings, leftOut }, rewrittenInWords(rewritten, from));
    }
    for (const gap of gapsInWords(rewritten, from)) {
      log?.error({ event: 'store_gap', file }, gap);
      live?.gap?.(gap);
    }
  }

  private count(): void {
    const { metrics } = this.parts;
    metrics?.counts('loam_duckdb_events_total', 'What happened to DuckDB', () => ({ ...this.events }));
    metrics?.gauge('loam_duckdb_checkpoint_age_seconds', 'Age of the newest checkpoint', () =>
      this.checkpointAt === undefined ? undefined : (clock.passed() - this.checkpointAt) / 1_000,
    );
  }
}
