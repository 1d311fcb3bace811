import { statfs } from 'node:fs/promises';
import { clock } from '../../core/clock.ts';
import { explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { goneInWords, type HeldFolder } from './held-folder.ts';
import { levelOf, type Reserve, reserveOf } from './reserve.ts';

/** What this process's user can have of a file system, and how much of it is still free, in bytes. */
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

/** `isLow` ends only when this many times the reserve is free, so that it does not change all the time. */
const CALM = 1.25;

/** A look at the free room counts for writes for FRESH_MS. Without writes the room is looked at every LOOK_MS. */
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

export interface FileSystemOptions {
  readonly readRoom: ReadRoom;
  readonly reserve: Reserve;
  readonly log: Logger | undefined;
}

/** What statfs tells, counted as `df` does: what is set aside for root is not there for anybody else. */
export async function statRoom(folder: string): Promise<Room> {
  const { blocks, bfree, bavail, bsize } = await statfs(folder);
  return { total: (blocks - bfree + bavail) * bsize, free: bavail * bsize };
}

/**
 * One file system, and the folders on it that are in use. A write looks at both when the last look is older than
 * FRESH_MS; a timer does it while there are users.
 */
export class FileSystem {
  private readonly folder: string;
  private readonly options: FileSystemOptions;
  private readonly held = new Set<HeldFolder>();
  private timer: NodeJS.Timeout | undefined;
  private looking: Promise<void> | undefined;
  private lookedAt = Number.NEGATIVE_INFINITY;
  private isLow = false;
  private denial: { readonly at: number; readonly why: string } | undefined;
  private saidAt: number | undefined;
  private gone = '';
  /** The last of the levels of use that was reached and said, in %; 0 below all of them. */
  private level = 0;
  /** As the last look found it; undefined when that look failed. */
  room: Room | undefined;
  readonly refusals: Record<Use, number> = { incoming: 0, work: 0, done: 0 };

  /** `folder` is one on it, to ask about it and to name it by. */
  constructor(folder: string, options: FileSystemOptions) {
    this.folder = folder;
    this.options = options;
  }

  get isUsed(): boolean {
    return this.held.size > 0;
  }

  /** In bytes; 0 while the size of the file system is unknown. */
  get reserve(): number {
    return reserveOf(this.options.reserve, this.room?.total ?? 0);
  }

  /** How much of it is in use, from 0 to 1; undefined while that is unknown. */
  get use(): number | undefined {
    return this.room === undefined || this.room.total === 0 ? undefined : 1 - this.room.free / this.room.total;
  }

  /** What is wrong, for a person; undefined when nothing is. */
  get why(): string | undefined {
    const wrong = [this.whyNoRoom, this.whyGone].filter((why) => why !== undefined);
    return wrong.length === 0 ? undefined : wrong.join('; ');
  }

  /** What should be known of a file system that fills up; undefined below the first level of use. */
  get filling(): string | undefined {
    if (this.level === 0 || this.use === undefined) return undefined;
    const [free, reserve] = [inWords(this.room?.free ?? 0), inWords(this.reserve)];
    return `${Math.floor(this.use * 100)} % of the file system of ${this.folder} are in use: ${free} are left, and below ${reserve} sensors are held`;
  }

  /** Counts a user of a folder; returns the function that ends the use. */
  hold(folder: HeldFolder): () => void {
    this.held.add(folder);
    this.timer ??= setInterval(() => void this.look(), LOOK_MS).unref();
    return () => {
      this.held.delete(folder);
      folder.close();
      if (this.isUsed) return;
      clearInterval(this.timer);
      this.timer = undefined;
    };
  }

  /** Resolves when the last look is no older than FRESH_MS. */
  async lookIfOld(): Promise<void> {
    if (clock.passed() - this.lookedAt > FRESH_MS) await this.look();
  }

  /** Looks at the room and the folders now. Never rejects: when the free room cannot be found out, no write is refused for it. */
  look(): Promise<void> {
    this.looking ??= this.lookOnce().finally(() => {
      this.looking = undefined;
    });
    return this.looking;
  }

  /** The error for a write that the last look does not allow, counted as a refusal; undefined when it is allowed. */
  refusal(use: Use): NoRoom | undefined {
    const why = this.refuses(use);
    if (why === undefined) return undefined;
    this.refusals[use] += 1;
    return new NoRoom(`disk: ${why}`);
  }

  /** As `Disk.denied`. */
  denied(use: Use, cause: unknown): NoRoom {
    this.denial = {
      at: clock.passed(),
      why: `the file system of ${this.folder} refused a write: ${explain(cause)}`,
    };
    this.refusals[use] += 1;
    this.say();
    return new NoRoom(`disk: ${this.denial.why}`, cause);
  }

  /** Why this use would be refused by what is free now, with how much it needs; undefined when it would not be. */
  async shortage(use: Use): Promise<string | undefined> {
    const room = await this.options.readRoom(this.folder).catch(() => undefined);
    if (room === undefined) return undefined;
    const needed = reserveOf(this.options.reserve, room.total) * SHARES[use];
    if (room.free >= needed) return undefined;
    return `only ${inWords(room.free)} are left on the file system of ${this.folder}, and ${inWords(needed)} are needed`;
  }

  /** How it is now, in words, and whether that is less than the reserve; undefined where nobody can tell. */
  async told(): Promise<{ readonly text: string; readonly isLow: boolean } | undefined> {
    const room = await this.options.readRoom(this.folder).catch(() => undefined);
    if (room === undefined || room.total === 0) return undefined;
    const reserve = reserveOf(this.options.reserve, room.total);
    const used = Math.floor((1 - room.free / room.total) * 100);
    const text = `${used} % of the file system of ${this.folder} are in use: ${inWords(room.free)} are left, and ${inWords(reserve)} are kept free`;
    return { text, isLow: room.free < reserve };
  }

  private get whyNoRoom(): string | undefined {
    if (this.isLow) {
      const [free, reserve] = [inWords(this.room?.free ?? 0), inWords(this.reserve)];
      return `only ${free} are left on the file system of ${this.folder}, and ${reserve} are kept free: make room there, the rest goes on by itself`;
    }
    return this.deniedFor(DENIED_CALM_MS) ? this.denial?.why : undefined;
  }

  private get whyGone(): string | undefined {
    const paths = new Set([...this.held].flatMap(({ gone }) => gone ?? []));
    return paths.size === 0 ? undefined : goneInWords([...paths]);
  }

  private refuses(use: Use): string | undefined {
    if (use === 'incoming')
      return this.isLow ? this.whyNoRoom : this.deniedFor(DENIED_MS) ? this.denial?.why : undefined;
    const isTooLittle = this.room !== undefined && this.room.free < this.reserve * SHARES[use];
    return isTooLittle ? this.whyNoRoom : undefined;
  }

  private deniedFor(ms: number): boolean {
    return this.denial !== undefined && clock.passed() - this.denial.at < ms;
  }

  private async lookOnce(): Promise<void> {
    const at = clock.passed();
    const room = this.options.readRoom(this.folder).catch(() => undefined);
    await Promise.all([...this.held].map((folder) => folder.look()));
    this.room = await room;
    this.lookedAt = at;
    const free = this.room?.free ?? Number.POSITIVE_INFINITY;
    this.isLow = free < this.reserve * (this.isLow ? CALM : SHARES.incoming);
    this.say();
  }

  private say(): void {
    this.sayLevel();
    this.sayRoom();
    this.sayGone();
  }

  private sayLevel(): void {
    const { level: before, folder } = this;
    this.level = levelOf(this.use ?? 0, before);
    if (this.level > before)
      this.options.log?.warn({ event: 'disk_filling', folder, percent: this.level }, this.filling);
    else if (this.level < before) {
      const text = `less than ${before} % of the file system of ${folder} are in use again`;
      this.options.log?.info({ event: 'disk_emptied', folder, percent: before }, text);
    }
  }

  private sayRoom(): void {
    const { whyNoRoom: why, folder } = this;
    if (why !== undefined && this.saidAt === undefined) {
      this.saidAt = clock.passed();
      this.options.log?.warn({ event: 'disk_low', folder }, `${why}; until then publishers are held`);
    } else if (why === undefined && this.saidAt !== undefined) {
      const seconds = Math.round((clock.passed() - this.saidAt) / 1_000);
      this.saidAt = undefined;
      this.options.log?.info({ event: 'disk_back', folder, seconds }, 'there is room on the disk again');
    }
  }

  private sayGone(): void {
    const gone = this.whyGone ?? '';
    if (gone === this.gone) return;
    this.gone = gone;
    if (gone !== '') this.options.log?.error({ event: 'folder_gone' }, `${gone}; until then nothing is written there`);
    else this.options.log?.info({ event: 'folder_back' }, 'every folder is in its place again');
  }
}

function inWords(bytes: number): string {
  if (bytes >= 10e9) return `${Math.floor(bytes / 1e9)} GB`;
  return bytes < 10e6 ? `${(bytes / 1e6).toFixed(1)} MB` : `${Math.floor(bytes / 1e6)} MB`;
}
