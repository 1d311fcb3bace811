import { stat } from 'node:fs/promises';
import { dirname, resolve } from 'node:path';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { Damages } from './damage.ts';
import {
  FileSystem,
  type FileSystemOptions,
  NoRoom,
  type ReadRoom,
  type Room,
  statRoom,
  type Use,
} from './file-system.ts';
import { LOCK_FILE } from './folder-lock.ts';
import { FolderGone, goneInWords, HeldFolder } from './held-folder.ts';
import { type Reserve, USUAL_RESERVE } from './reserve.ts';

export { FolderGone, NoRoom, type ReadRoom, type Room, type Use };

/** What a file may be long of a kind of which there are many: this part of a file system, but not less than 256 kB. */
const FILE_PART = 1 / 64;
const SMALLEST_FILE = 256 * 1_024;

/**
 * The file systems that this process keeps files on. When one is full, a library may end the process, or may itself
 * need room to free room. So a reserve is kept free on each, and a write is refused when less than its share of the
 * reserve is left. A write is refused too when its folder is no longer where it was.
 */
export class Disks {
  /** What was found damaged in the files there. */
  readonly damages: Damages;
  private readonly disks = new Map<number, FileSystem>();
  private readonly options: FileSystemOptions;

  /** Without `log` nothing is logged. `readRoom` is statfs and `reserve` 2 % unless they are given. */
  constructor(given: { log?: Logger; readRoom?: ReadRoom; reserve?: Reserve } = {}) {
    const { log, readRoom = statRoom, reserve = USUAL_RESERVE } = given;
    this.options = { log, readRoom, reserve };
    this.damages = new Damages(log);
  }

  get log(): Logger | undefined {
    return this.options.log;
  }

  /** The room for a folder, which has to exist. Rejects with the file system's error. */
  async at(folder: string): Promise<Disk> {
    return new Disk(folder, await this.fileSystemOf(folder));
  }

  /** Why a write of this use would be refused in a folder, with how much it needs; undefined when it would not be. */
  async shortage(folder: string, use: Use): Promise<string | undefined> {
    return await (await this.nearest(folder))?.shortage(use);
  }

  /** How each of the file systems of these folders is now, in words, and whether it has less than its reserve. */
  async told(folders: readonly string[]): Promise<readonly { readonly text: string; readonly isLow: boolean }[]> {
    const fileSystems = new Set(await Promise.all(folders.map((folder) => this.nearest(folder))));
    const told = await Promise.all([...fileSystems].map((fileSystem) => fileSystem?.told()));
    return told.flatMap((one) => one ?? []);
  }

  /**
   * A check for `/readyz`; none when no file system is in use. `isOptional`: the process can do its work without a disk.
   * One that only fills up is optional in any case.
   */
  health(isOptional = false): Health[] {
    const used = this.used();
    if (used.length === 0) return this.damages.health();
    const wrong = used.flatMap(({ why }) => why ?? []);
    const said = wrong.length > 0 ? wrong : used.flatMap(({ filling }) => filling ?? []);
    const optional = isOptional || (wrong.length === 0 && said.length > 0) ? { optional: true as const } : {};
    const why = said.length === 0 ? {} : { why: said.join('; ') };
    return [{ name: 'disk', ok: said.length === 0, ...why, ...optional }, ...this.damages.health()];
  }

  /** Registers the metrics: the room on the file system that has the least, the fullest one, and the refusals on all. */
  count(metrics: Metrics): void {
    this.damages.count(metrics);
    const least = () => this.used().sort((a, b) => (a.room?.free ?? Infinity) - (b.room?.free ?? Infinity))[0];
    const uses = () => this.used().flatMap(({ use }) => use ?? []);
    metrics.gauge('loam_disk_free_bytes', 'What is free where Loam keeps its files', () => least()?.room?.free);
    metrics.gauge('loam_disk_reserve_bytes', 'What of it is kept free', () => least()?.reserve);
    metrics.gauge('loam_disk_use_ratio', 'How much of the fullest of these file systems is in use, 0 to 1', () =>
      uses().length === 0 ? undefined : Math.max(...uses()),
    );
    metrics.counts('loam_disk_refusals_total', 'Writes that were refused to keep the reserve free, by what for', () => {
      const sum = { incoming: 0, work: 0, done: 0 };
      for (const { refusals } of this.disks.values()) {
        for (const use of ['incoming', 'work', 'done'] as const) sum[use] += refusals[use];
      }
      return sum;
    });
  }

  /** The file system of a folder, or, where it is missing, the one on which it would be made. */
  private async nearest(folder: string): Promise<FileSystem | undefined> {
    for (let at = resolve(folder); ; at = dirname(at)) {
      try {
        return await this.fileSystemOf(at);
      } catch {
        if (at === dirname(at)) return undefined;
      }
    }
  }

  private async fileSystemOf(folder: string): Promise<FileSystem> {
    const { dev } = await stat(folder);
    const known = this.disks.get(dev) ?? new FileSystem(folder, this.options);
    this.disks.set(dev, known);
    return known;
  }

  private used(): FileSystem[] {
    return [...this.disks.values()].filter((disk) => disk.isUsed);
  }
}

/** A folder in use, and the room on its file system. */
export class Disk {
  private readonly folder: string;
  private readonly fileSystem: FileSystem;
  private held: HeldFolder | undefined;

  constructor(folder: string, fileSystem: FileSystem) {
    this.folder = folder;
    this.fileSystem = fileSystem;
  }

  /** As the last look at the file system found it; undefined when that look failed. */
  get room(): Room | undefined {
    return this.fileSystem.room;
  }

  /** What is kept free, in bytes; 0 while the size of the file system is unknown. */
  get reserve(): number {
    return this.fileSystem.reserve;
  }

  /** At most `most`, and at most a small part of the file system: so large may a file be of which it has many. */
  partFor(most: number): number {
    const total = this.room?.total ?? 0;
    return total === 0 ? most : Math.min(most, Math.max(SMALLEST_FILE, Math.ceil(total * FILE_PART)));
  }

  /** On the whole file system. */
  get refusals(): Readonly<Record<Use, number>> {
    return this.fileSystem.refusals;
  }

  /**
   * Begins the use of the folder, which has to be locked; returns the function that ends it. From now on every write is
   * refused while the path of the folder or of its lock leads to something else than now. Throws the file system's error.
   */
  hold(): () => void {
    this.held = new HeldFolder(this.folder, [LOCK_FILE]);
    return this.fileSystem.hold(this.held);
  }

  /** The same holds for these files in the held folder from now on, in place of those that were given before. */
  follow(files: readonly string[]): void {
    this.held?.follow(files);
  }

  /** Resolves when a write may be made; rejects with NoRoom or FolderGone when it may not. */
  async assertRoom(use: Use): Promise<void> {
    await this.fileSystem.lookIfOld();
    const refusal = this.refusal(use);
    if (refusal) throw refusal;
  }

  /** Looks at once where its paths lead, and what is free. Never rejects. */
  async look(): Promise<void> {
    await this.fileSystem.look();
  }

  /** The error for a write that the last look does not allow, counted as a refusal; undefined when it is allowed. */
  refusal(use: Use): NoRoom | FolderGone | undefined {
    const gone = this.held?.gone;
    return gone === undefined ? this.fileSystem.refusal(use) : new FolderGone(goneInWords([gone]));
  }

  /**
   * For a write that the file system refused although it showed room: a quota is used up, or another process took the
   * room first. Counts a refusal and returns the error to reject with.
   */
  denied(use: Use, cause: unknown): NoRoom {
    return this.fileSystem.denied(use, cause);
  }
}
