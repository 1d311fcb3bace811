import { open as openFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { makeFolder } from '../../core/make-folder.ts';
import type { Disk, Disks, Use } from '../files/disk.ts';
import { lockFolder } from '../files/folder-lock.ts';
import { FileRoom, fillLockFile, type SizeChange } from './file-room.ts';

/** What an environment uses besides its LMDB file. `letGo` releases all of it. */
interface EnvironmentResources {
  readonly disk: Disk;
  readonly room: FileRoom;
  readonly letGo: () => Promise<void>;
}

/** Room for the tables that are made right after an environment was opened. */
const NEW_TABLES: SizeChange = { puts: [100, 100, 100], removes: 0 };

/**
 * A folder with one LMDB file, for this process alone.
 *
 * Two options of the library decide whether `write` keeps its promise. Without `overlappingSync: false` the library's
 * promises resolve before the data is synced. With `eventTurnBatching`, a failed commit also rejects a promise inside
 * the library that nobody handles, which ends the process. So it is off, and `write` is the only way to change
 * anything.
 *
 * When the library cannot write a page because the disk is full, the process ends too: so `write` makes sure of room
 * first (`Disk`, `FileRoom`).
 */
export class Environment {
  private readonly root: RootDatabase<Buffer, number>;
  private readonly held: EnvironmentResources;

  private constructor(root: RootDatabase<Buffer, number>, held: EnvironmentResources) {
    this.root = root;
    this.held = held;
  }

  /**
   * Opens the folder, making it when it is not there. `expectedBytes` is how large the file may grow before its mapping
   * has to be moved. Rejects with FolderInUse, FolderNotLockable, NoRoom, or the error of the file system or of LMDB.
   */
  static async open(folder: string, expectedBytes: number, disks: Disks): Promise<Environment> {
    const firstMade = await makeFolder(folder);
    const unlock = await lockFolder(folder);
    const undo = [unlock];
    try {
      const disk = await disks.at(folder);
      const endUse = disk.hold();
      undo.push(async () => endUse());
      await disk.assertRoom('done');
      const path = join(folder, 'data.mdb');
      await fillLockFile(`${path}-lock`, disk);
      const root = open<Buffer, number>({
        path,
        noSubdir: true,
        encoding: 'binary',
        mapSize: Math.ceil(expectedBytes / 2 ** 20) * 2 ** 20,
        overlappingSync: false,
        eventTurnBatching: false,
      });
      undo.push(() => root.close());
      await syncFolders(folder, firstMade);
      const room = await FileRoom.open(path, () => root.getStats(), disk);
      undo.push(() => room.close());
      await room.provide(NEW_TABLES, 'done');
      return new Environment(root, { disk, room, letGo: () => inReverse(undo) });
    } catch (error) {
      await inReverse(undo);
      throw error;
    }
  }

  /** A table of bytes by number, in order of the numbers. Reading copies. */
  numbered(name: string): Database<Buffer, number> {
    return this.root.openDB<Buffer, number>({ name, encoding: 'binary' });
  }

  /** A table of JSON values by key. */
  values<K extends string | number>(name: string): Database<unknown, K> {
    return this.root.openDB<unknown, K>({ name, encoding: 'json' });
  }

  /** The error for a write of this use that the disk's last check does not allow, counted as a refusal. */
  refusal(use: Use): Error | undefined {
    return this.held.disk.refusal(use);
  }

  /**
   * Makes one transaction of everything that `changes` puts and removes before it returns; `change` is its size. The
   * promises of those puts and removes need not be awaited. Not to be called again before the last call has settled.
   * Resolves when the transaction is on disk and can be read. Rejects with NoRoom, or the error of the disk or of LMDB,
   * and then nothing of it was kept.
   */
  async write(change: SizeChange, use: Use, changes: () => void): Promise<void> {
    await this.held.disk.assertRoom(use);
    await this.held.room.provide(change, use);
    try {
      await this.root.batch(changes);
    } catch (error) {
      throw await commitError(error);
    }
  }

  /** Closes the file and releases the folder. To be called when no write is under way. */
  async close(): Promise<void> {
    await this.held.letGo();
  }
}

/** Runs every step, the last one first. Rejects with the first failure, after all steps have run. */
async function inReverse(undo: readonly (() => Promise<void>)[]): Promise<void> {
  const failures: unknown[] = [];
  for (const step of undo.toReversed()) await step().catch((error: unknown) => failures.push(error));
  if (failures.length > 0) throw failures[0];
}

/** The library rejects with an error whose `commitError` is a promise; that promise rejects with the true cause. */
async function commitError(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}

/** LMDB syncs its file, but a power cut loses the name of a new file or folder unless the folder that holds it is synced. */
async function syncFolders(folder: string, firstMade: string | undefined): Promise<void> {
  const last = firstMade === undefined ? resolve(folder) : dirname(resolve(firstMade));
  for (let path = resolve(folder); ; path = dirname(path)) {
    const handle = await openFile(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
    if (path === last) return;
  }
}
