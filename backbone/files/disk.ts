import { stat, statfs } from 'node:fs/promises';
import { explain } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { Damages } from './damage.ts';

/** The size of a file system, and how much of it this process's user can still write, in bytes. */
export interface Room {
  readonly total: number;
  readonly free: number;
}

export type ReadRoom = (folder: string) => Promise<Room>;

/**
 * What a write is for, and the share of the reserve that has to be free for it. Incoming publishes are refused first:
 * workers then still have room to store and acknowledge what was taken.
 */
const SHARES = { incoming: 1, work: 1 / 2, done: 1 / 4 } as const;
export type Use = keyof typeof SHARES;

/** The reserve, which is kept free: 64 MB, or an eighth of a small file system. */
const MOST_RESERVE = 64e6;
const SMALLEST_PART = 1 / 8;
/** What a file may be long of a kind of which there are many: this part of a file system, but not less than 256 kB. */
const FILE_PART = 1 / 64;
const SMALLEST_FILE = 256 * 1_024;
/** `isLow` ends only when this many times the reserve is free, so that it does not change all the time. */
const CALM = 1.25;

/** A check of the free room counts for writes for FRESH_MS. Without writes the room is checked every LOOK_MS. */
const FRESH_MS = 50;
const LOOK_MS = 1_000;
/**
 * When the file system refuses a write although it showed room, as at a quota: `incoming` is refused for DENIED_MS, and
 * `why` reports it for DENIED_CALM_MS.
 */
const DENIED_MS = 1_000;
const DENIED_CALM_MS = 5_000;

/** A write was not begun, because its file system has no room for it. Nothing was changed. */
export class NoRoom extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'NoRoom';
  }
}

/**
 * The file systems that this process keeps files on. When one is full, a library may end the process, or may itself
 * need room to free room. So a reserve is kept free on each, and a write is refused when less than its share of the
 * reserve is left.
 */
export class Disks {
  /** What was found damaged in the files there. */
  readonly damages: Damages;
  private readonly disks = new Map<number, Disk>();
  readonly log: Logger | undefined;
  private readonly readRoom: ReadRoom;

  /** Without `log` nothing is logged. `readRoom` is statfs unless it is given. */
  constructor({ log, readRoom = statRoom }: { log?: Logger; readRoom?: ReadRoom } = {}) {
    this.log = log;
    this.readRoom = readRoom;
    this.damages = new Damages(log);
  }

  /** The file system of a folder, which has to exist. Rejects with the file system's error. */
  async at(folder: string): Promise<Disk> {
    const { dev } = await stat(folder);
    const disk = this.disks.get(dev) ?? new Disk(folder, this.readRoom, this.log);
    this.disks.set(dev, disk);
    return disk;
  }

  /** A check for `/readyz`; none when no file system is in use. `isOptional`: the process can do its work without a disk. */
  health(isOptional = false): Health[] {
    const used = this.used();
    if (used.length === 0) return this.damages.health();
    const whys = used.flatMap(({ why }) => why ?? []);
    const optional = isOptional ? { optional: true as const } : {};
    return [
      { name: 'disk', ok: whys.length === 0, ...(whys.length === 0 ? {} : { why: whys.join('; ') }), ...optional },
      ...this.damages.health(),
    ];
  }

  /** Registers the metrics: the room on the file system that has the least, and the refusals on all. */
  count(metrics: Metrics): void {
    this.damages.count(metrics);
    const least = () => this.used().sort((a, b) => (a.room?.free ?? Infinity) - (b.room?.free ?? Infinity))[0];
    metrics.gauge('loam_disk_free_bytes', 'What is free where Loam keeps its files', () => least()?.room?.free);
    metrics.gauge('loam_disk_reserve_bytes', 'What of it is kept free', () => least()?.reserve);
    metrics.counts('loam_disk_refusals_total', 'Writes that were refused to keep the reserve free, by what for', () => {
      const sum = { incoming: 0, work: 0, done: 0 };
      for (const { refusals } of this.disks.values()) {
        for (const use of ['incoming', 'work', 'done'] as const) sum[use] += refusals[use];
      }
      return sum;
    });
  }

  private used(): Disk[] {
    return [...this.disks.values()].filter((disk) => disk.isUsed);
  }
}

async function statRoom(folder: string): Promise<Room> {
  const { blocks, bavail, bsize } = await statfs(folder);
  return { total: blocks * bsize, free: bavail * bsize };
}

/**
 * One file system. A write checks the free room when the last check is older than FRESH_MS; a timer does it while there
 * are users.
 */
export class Disk {
  private readonly folder: string;
  private readonly readRoom: ReadRoom;
  private readonly log: Logger | undefined;
  private users = 0;
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private lookedAt = Number.NEGATIVE_INFINITY;
  private isLow = false;
  private denial: { readonly at: number; readonly why: string } | undefined;
  private saidAt: number | undefined;
  /** As the last check found it; undefined when that check failed. */
  room: Room | undefined;
  readonly refusals: Record<Use, number> = { incoming: 0, work: 0, done: 0 };

  constructor(folder: string, readRoom: ReadRoom, log: Logger | undefined) {
    this.folder = folder;
    this.readRoom = readRoom;
    this.log = log;
  }

  get isUsed(): boolean {
    return this.users > 0;
  }

  /** In bytes; 0 while the size of the file system is unknown. */
  get reserve(): number {
    return Math.min(MOST_RESERVE, (this.room?.total ?? 0) * SMALLEST_PART);
  }

  /** At most `most`, and at most a small part of the file system: so large may a file be of which it has many. */
  partFor(most: number): number {
    const total = this.room?.total ?? 0;
    return total === 0 ? most : Math.min(most, Math.max(SMALLEST_FILE, Math.ceil(total * FILE_PART)));
  }

  /** What is wrong, for a person; undefined when nothing is. */
  get why(): string | undefined {
    if (this.isLow) {
      const [free, reserve] = [inMb(this.room?.free ?? 0), inMb(this.reserve)];
      return `only ${free} are left on the file system of ${this.folder}, and ${reserve} are kept free: make room there, the rest goes on by itself`;
    }
    return this.deniedFor(DENIED_CALM_MS) ? this.denial?.why : undefined;
  }

  /** Counts a user; returns the function that ends the use. */
  hold(): () => void {
    this.users += 1;
    this.timer ??= setInterval(() => void this.look(), LOOK_MS).unref();
    return () => {
      this.users -= 1;
      if (this.users > 0) return;
      clearInterval(this.timer);
      this.timer = undefined;
    };
  }

  /** Resolves when a write may be made; rejects with NoRoom when it may not. */
  async assertRoom(use: Use): Promise<void> {
    if (performance.now() - this.lookedAt > FRESH_MS) await this.look();
    const refusal = this.refusal(use);
    if (refusal) throw refusal;
  }

  /** The error for a write that the last check does not allow, counted as a refusal; undefined when the write is allowed. */
  refusal(use: Use): NoRoom | undefined {
    const why = this.refuses(use);
    if (why === undefined) return undefined;
    this.refusals[use] += 1;
    return new NoRoom(`disk: ${why}`);
  }

  /**
   * For a write that the file system refused although it showed room: a quota is used up, or another process took the
   * room first. Counts a refusal and returns the error to reject with.
   */
  denied(use: Use, cause: unknown): NoRoom {
    this.denial = { at: performance.now(), why: `no room on the file system of ${this.folder}: ${explain(cause)}` };
    this.refusals[use] += 1;
    this.say();
    return new NoRoom(`disk: ${this.denial.why}`, cause);
  }

  private refuses(use: Use): string | undefined {
    if (use === 'incoming') return this.isLow ? this.why : this.deniedFor(DENIED_MS) ? this.denial?.why : undefined;
    const isTooLittle = this.room !== undefined && this.room.free < this.reserve * SHARES[use];
    return isTooLittle ? this.why : undefined;
  }

  private deniedFor(ms: number): boolean {
    return this.denial !== undefined && performance.now() - this.denial.at < ms;
  }

  /** Never rejects: when the free room cannot be found out, no write is refused for it. */
  private look(): Promise<void> {
    this.looking ??= this.lookOnce().finally(() => {
      this.looking = undefined;
    });
    return this.looking;
  }

  private async lookOnce(): Promise<void> {
    const at = performance.now();
    this.room = await this.readRoom(this.folder).catch(() => undefined);
    this.lookedAt = at;
    const free = this.room?.free ?? Number.POSITIVE_INFINITY;
    this.isLow = free < this.reserve * (this.isLow ? CALM : SHARES.incoming);
    this.say();
  }

  private say(): void {
    const { why, folder } = this;
    if (why !== undefined && this.saidAt === undefined) {
      this.saidAt = Date.now();
      this.log?.warn({ event: 'disk_low', folder }, `${why}; until then publishers are held`);
    } else if (why === undefined && this.saidAt !== undefined) {
      const seconds = Math.round((Date.now() - this.saidAt) / 1_000);
      this.saidAt = undefined;
      this.log?.info({ event: 'disk_back', folder, seconds }, 'there is room on the disk again');
    }
  }
}

function inMb(bytes: number): string {
  return bytes < 10e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.floor(bytes / 1e6)} MB`;
}
