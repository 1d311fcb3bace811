import { mkdir, open as openFile } from 'node:fs/promises';
import { dirname, join, resolve } from 'node:path';
import { type Database, open, type RootDatabase } from 'lmdb';
import { lockFolder } from './folder-lock.ts';

/**
 * A folder with one LMDB file, for this process alone.
 *
 * Two options of the library decide whether `write` keeps its promise. Without `overlappingSync: false` its promises
 * resolve before the data is synced. With its own batching of an event turn's writes, a failed commit rejects a
 * promise that nobody holds, which ends the process; so that is off, and `write` is the only way to change anything.
 */
export class Environment {
  private readonly root: RootDatabase<Buffer, number>;
  private readonly unlock: () => Promise<void>;

  private constructor(root: RootDatabase<Buffer, number>, unlock: () => Promise<void>) {
    this.root = root;
    this.unlock = unlock;
  }

  /**
   * Opens the folder, making it when it is not there. `expectedBytes` is how large the file may grow before its
   * mapping has to be moved. Rejects with FolderInUse, or what the file system or LMDB says.
   */
  static async open(folder: string, expectedBytes: number): Promise<Environment> {
    const firstMade = await mkdir(folder, { recursive: true });
    const unlock = await lockFolder(folder);
    try {
      const root = open<Buffer, number>({
        path: join(folder, 'data.mdb'),
        noSubdir: true,
        encoding: 'binary',
        mapSize: Math.ceil(expectedBytes / 2 ** 20) * 2 ** 20,
        overlappingSync: false,
        eventTurnBatching: false,
      });
      await syncFolders(folder, firstMade);
      return new Environment(root, unlock);
    } catch (error) {
      await unlock();
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

  /**
   * One transaction of everything that `changes` puts and removes before it returns; their own promises tell nothing more. Resolves when it is on disk
   * and can be read; rejects with the error of the disk or of LMDB, and then nothing of it was kept.
   */
  async write(changes: () => void): Promise<void> {
    try {
      await this.root.batch(changes);
    } catch (error) {
      throw await commitError(error);
    }
  }

  /** Closes the file, once no write is under way, and lets others have the folder. */
  async close(): Promise<void> {
    await this.root.close();
    await this.unlock();
  }
}

/** The library rejects with an error that carries a promise which rejects with the true one. */
async function commitError(error: unknown): Promise<unknown> {
  if (!(error instanceof Error) || !('commitError' in error)) return error;
  try {
    await error.commitError;
    return error;
  } catch (cause) {
    return cause;
  }
}

/** LMDB syncs its file, but a new name is lost with the power unless the folder that holds it is synced. */
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
