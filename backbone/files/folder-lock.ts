import { closeSync, constants, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { tryLock } from 'fs-native-extensions';
import { explain } from '../../core/errors.ts';
import { takeSocket } from './folder-lock-socket.ts';

/** A folder that another process, or another part of this one, has open. */
export class FolderInUse extends Error {
  constructor(folder: string, holder: string) {
    super(`${folder} is in use by ${holder}`);
    this.name = 'FolderInUse';
  }
}

/** A folder that cannot be locked at all: without a lock nothing is opened, for two processes would overwrite each other. */
export class FolderNotLockable extends Error {
  constructor(folder: string, cause: unknown) {
    super(
      `${folder} cannot be locked (it has to be on a file system that can be written to and that has locks, best on a local disk): ${explain(cause)}`,
      { cause },
    );
    this.name = 'FolderNotLockable';
  }
}

const FILE = 'folder.lock';
const MOST_HOLDER_BYTES = 300;

/**
 * Takes a folder for this process alone and returns the function that gives it back. Rejects with FolderInUse or FolderNotLockable.
 *
 * The lock is the kernel's, on a file in the folder: of an open file (F_OFD_SETLK) on Linux, flock on macOS. Of two that try at the same
 * moment one gets it, be they parts of one process, processes, or containers with one volume; and it ends with its holder, however that
 * ends. The file stays where it is for ever: who removes a file that somebody is about to lock makes room for a second lock. What is
 * written in it is for people only.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const file = openLockFile(folder);
  let isLocked = true;
  const unlock = () => {
    if (isLocked) closeSync(file);
    isLocked = false;
  };
  try {
    lock(folder, file);
    // Versions that know nothing of this file know a socket: one that runs keeps us out, and one that is started now is kept out.
    const giveSocketBack = await takeSocket(folder);
    if (giveSocketBack === undefined) throw new FolderInUse(folder, 'a process of an earlier version');
    return async () => {
      await giveSocketBack();
      unlock();
    };
  } catch (error) {
    unlock();
    throw error;
  }
}

/** A plain number, which is closed by us alone: a FileHandle that nobody holds any more is closed by the garbage collector. */
function openLockFile(folder: string): number {
  try {
    return openSync(join(folder, FILE), constants.O_RDWR | constants.O_CREAT, 0o644);
  } catch (cause) {
    throw new FolderNotLockable(folder, cause);
  }
}

function lock(folder: string, file: number): void {
  let isOurs: boolean;
  try {
    isOurs = tryLock(file);
  } catch (cause) {
    throw new FolderNotLockable(folder, cause);
  }
  if (!isOurs) throw new FolderInUse(folder, holderIn(file));
  try {
    ftruncateSync(file);
    writeSync(file, `process ${process.pid} on ${hostname()}, since ${new Date().toISOString()}\n`, 0);
  } catch {
    // A full disk: the lock holds, and only its message is poorer.
  }
}

/** Who has it, in a person's words. A process number counts in its holder's container. */
function holderIn(file: number): string {
  const buffer = Buffer.alloc(MOST_HOLDER_BYTES);
  const text = buffer.toString('utf8', 0, readSync(file, buffer, 0, MOST_HOLDER_BYTES, 0));
  return /^process [^\n\p{Cc}]+/u.exec(text)?.[0] ?? 'another process';
}
