import { dirname, join, resolve } from 'node:path';
import { makeFolder } from '../../core/make-folder.ts';
import { syncPath } from '../../core/sync-path.ts';
import type { Disk, Disks } from '../files/disk.ts';
import { lockFolder } from '../files/folder-lock.ts';
import type { Contents } from '../take-over/child.ts';
import { SEGMENTS, takeOver } from '../take-over/take-over.ts';
import { DISK_FILES } from './files.ts';
import type { Place } from './wanted.ts';

/** A folder that this process alone has. */
export interface OwnedFolder extends Place {
  readonly disk: Disk;
  /** Releases it. */
  release(): Promise<void>;
}

/**
 * Takes a folder for this process, making it when it is not there, and takes over what an earlier version left in it.
 * Rejects with FolderInUse, FolderNotLockable, NoRoom, TakeOverFailed, or the file system's error.
 */
export async function ownFolder(folder: string, contents: Contents, disks: Disks): Promise<OwnedFolder> {
  const firstMade = await makeFolder(folder);
  const unlock = await lockFolder(folder);
  try {
    const disk = await disks.at(folder);
    const endUse = disk.hold();
    const release = async () => {
      endUse();
      await unlock();
    };
    try {
      await disk.assertRoom('done');
      await takeOver(folder, contents, disks.log);
      await syncFolders(folder, firstMade);
      const segments = join(folder, SEGMENTS);
      return { files: DISK_FILES, folder: segments, report: disks.damages, disk, release };
    } catch (error) {
      endUse();
      throw error;
    }
  } catch (error) {
    await unlock();
    throw error;
  }
}

/** A power cut loses the name of a new folder unless the folder that holds it is synced. */
async function syncFolders(folder: string, firstMade: string | undefined): Promise<void> {
  const last = firstMade === undefined ? resolve(folder) : dirname(resolve(firstMade));
  for (let path = resolve(folder); ; path = dirname(path)) {
    await syncPath(path);
    if (path === last) return;
  }
}
