import { stat, statfs } from 'node:fs/promises';
import { explain } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';

/** Of a file system, in bytes: how large it is, and what of it is free for this process's user. */
export interface Room {
  readonly total: number;
  readonly free: number;
}

export type ReadRoom = (folder: string) => Promise<Room>;

/**
 * What a write is for, and the share of the reserve that has to be free for it. What sensors bring is refused first, so that workers and
 * their acknowledgements still have room to get on with what was taken.
 */
const SHARES = { incoming: 1, work: 1 / 2, done: 1 / 4 } as const;
export type Use = keyof typeof SHARES;

/** What is kept free: 64 MB, or of a small file system an eighth. */
const MOST_RESERVE = 64e6;
const SMALLEST_PART = 1 / 8;
/** Low ends only when so much more than the reserve is free, so that it does not end and begin again all the time. */
const CALM = 1.25;

/** How old a look may be that lets a write through, and how often somebody looks while nothing is written. */
const FRESH_MS = 50;
const LOOK_MS = 1_000;
/** After the file system has refused room that it seemed to have, as at a quota: no write for so long, and not well for so long. */
const DENIED_MS = 1_000;
const DENIED_CALM_MS = 5_000;

/** A write was not begun, for its file system has no room for it. Nothing was changed. */
export class NoRoom extends Error {
  constructor(message: string, cause?: unknown) {
    super(message, { cause });
    this.name = 'NoRoom';
  }
}

/**
 * The file systems that this process keeps something on. A library that meets a full one may take the process with it, or need room to
 * give room back; so a part of each is left free, and writes are refused before that is used.
 */
export class Disks {
  private readonly disks = new Map<number, Disk>();
  private readonly log: Logger | undefined;
  private readonly readRoom: ReadRoom;

  /** Without `log` nothing is said. `readRoom` is statfs unless it is given. */
  constructor({ log, readRoom = statRoom }: { log?: Logger; readRoom?: ReadRoom } = {}) {
    this.log = log;
    this.readRoom = readRoom;
  }

  /** The one that holds a folder, which has to be there. Rejects with what the file system says. */
  async at(folder: string): Promise<Disk> {
    const { dev } = await stat(folder);
    const disk = this.disks.get(dev) ?? new Disk(folder, this.readRoom, this.log);
    this.disks.set(dev, disk);
    return disk;
  }

  /** A line of `/readyz`; none when nothing is kept here. `isOptional`: there is work that needs no disk. */
  health(isOptional = false): Health[] {
    const used = this.used();
    if (used.length === 0) return [];
    const whys = used.flatMap(({ why }) => why ?? []);
    const optional = isOptional ? { optional: true as const } : {};
    return [
      { name: 'disk', ok: whys.length === 0, ...(whys.length === 0 ? {} : { why: whys.join('; ') }), ...optional },
    ];
  }

  /** Shows the room on the file system that has the least. */
  count(metrics: Metrics): void {
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

/** One file system. It is looked at whenever a write comes and the last look is not fresh, and every second as long as somebody uses it. */
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
  /** By the last look; undefined when nobody could look. */
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

  /** In bytes. None on a file system that does not tell its size. */
  get reserve(): number {
    return Math.min(MOST_RESERVE, (this.room?.total ?? 0) * SMALLEST_PART);
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

  /** Why a write may not be made, by the last look; it counts as refused then. */
  refusal(use: Use): NoRoom | undefined {
    const why = this.refuses(use);
    if (why === undefined) return undefined;
    this.refusals[use] += 1;
    return new NoRoom(`disk: ${why}`);
  }

  /** The file system refused room that it seemed to have: a quota is used up, or somebody else was quicker. Returns what to reject with. */
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

  /** Never rejects: where nobody can look nothing is refused. */
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
