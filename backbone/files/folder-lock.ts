import { closeSync, constants, ftruncateSync, openSync, readSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { tryLock } from 'fs-native-extensions';
import { clock } from '../../core/clock.ts';
import { explain } from '../../core/errors.ts';
import { giveToFoldersOwner } from '../../core/folders-owner.ts';

/** A folder or file that another process, or another part of this one, has open. */
export class FolderInUse extends Error {
  constructor(folder: string, holder: string) {
    super(`${folder} is in use by ${holder}`);
    this.name = 'FolderInUse';
  }
}

/** A folder that cannot be locked. It is not opened: without a lock two processes would overwrite each other's data. */
export class FolderNotLockable extends Error {
  constructor(folder: string, cause: unknown) {
    super(
      `${folder} cannot be locked (it has to be on a file system that can be written to and that has locks, best on a local disk): ${explain(cause)}`,
      { cause },
    );
    this.name = 'FolderNotLockable';
  }
}

/** The file in a locked folder. */
export const LOCK_FILE = 'folder.lock';
const MOST_HOLDER_BYTES = 300;

/**
 * Takes a folder for this process alone. Resolves with the function that releases it. Rejects with FolderInUse or
 * FolderNotLockable.
 *
 * The kernel keeps the lock, on a file in the folder: a lock of the open file (F_OFD_SETLK) on Linux, flock on macOS.
 * Of two attempts at the same moment one succeeds, be they in one process, in two processes, or in containers with one
 * volume. The lock ends with its holder, however the holder ends. The file is never removed: if it were, a process
 * about to lock the removed file and one that makes a new file could both have a lock. The text in the file is for
 * people only.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const release = await lockBy(join(folder, LOCK_FILE), folder);
  if (!(await isEarlierVersionAt(folder))) return release;
  await release();
  throw new FolderInUse(folder, 'a process of an earlier version');
}

/**
 * Takes `what`, a folder or a file, for this process alone, as `lockFolder` does, by the lock of the file `lockFile`.
 */
export async function lockBy(lockFile: string, what: string): Promise<() => Promise<void>> {
  const file = openLockFile(lockFile, what);
  let isLocked = true;
  const unlock = () => {
    if (isLocked) closeSync(file);
    isLocked = false;
  };
  try {
    lock(what, file);
  } catch (error) {
    unlock();
    throw error;
  }
  return async () => unlock();
}

/**
 * As `lockFolder`, for who only looks: neither the lock file nor anything else is changed. A folder without a lock file
 * is used by nobody.
 */
export async function lockFolderToLook(folder: string): Promise<() => void> {
  const release = lockToLook(join(folder, LOCK_FILE), folder);
  if (!(await isEarlierVersionAt(folder))) return release;
  release();
  throw new FolderInUse(folder, 'a process of an earlier version');
}

/** As `lockBy`, for who only looks. Throws FolderInUse or FolderNotLockable. */
export function lockToLook(lockFile: string, what: string): () => void {
  let file: number;
  try {
    file = openSync(lockFile, constants.O_RDWR);
  } catch (cause) {
    const code = cause instanceof Error && 'code' in cause ? cause.code : undefined;
    // On a file system that can only be read nobody writes.
    if (code === 'ENOENT' || code === 'EROFS') return () => {};
    throw new FolderNotLockable(what, cause);
  }
  try {
    if (tryLock(file)) return () => closeSync(file);
    throw new FolderInUse(what, holderIn(file));
  } catch (cause) {
    closeSync(file);
    throw cause instanceof FolderInUse ? cause : new FolderNotLockable(what, cause);
  }
}

/** A plain file descriptor, closed only by us: the garbage collector closes a FileHandle that is no longer referenced. */
function openLockFile(lockFile: string, what: string): number {
  try {
    const file = openSync(lockFile, constants.O_RDWR | constants.O_CREAT, 0o644);
    giveToFoldersOwner(lockFile, file);
    return file;
  } catch (cause) {
    throw new FolderNotLockable(what, cause);
  }
}

function lock(what: string, file: number): void {
  let isOurs: boolean;
  try {
    isOurs = tryLock(file);
  } catch (cause) {
    throw new FolderNotLockable(what, cause);
  }
  if (!isOurs) throw new FolderInUse(what, holderIn(file));
  try {
    ftruncateSync(file);
    writeSync(file, `process ${process.pid} on ${hostname()}, since ${new Date(clock.now()).toISOString()}\n`, 0);
  } catch {
    // For example on a full disk: the lock holds all the same, and only the text about its holder is missing.
  }
}

/** Who holds the lock, in words for a person. The process number is the one inside the holder's container. */
function holderIn(file: number): string {
  const buffer = Buffer.alloc(MOST_HOLDER_BYTES);
  const text = buffer.toString('utf8', 0, readSync(file, buffer, 0, MOST_HOLDER_BYTES, 0));
  return /^process [^\n\p{Cc}]+/u.exec(text)?.[0] ?? 'another process';
}

/**
 * Whether somebody listens on the socket by which versions up to 0.1 show that they use a folder: they do not know the
 * lock. A refused connection, or no socket, means that nobody does. After any other error a process may be there: too
 * busy to answer, or one that we have no right to connect to.
 */
function isEarlierVersionAt(folder: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(join(folder, 'lock'));
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(!NOBODY_THERE.has(error.code ?? ''));
    });
  });
}

/** EINVAL: the path is too long for a socket, so that those versions had none there. */
const NOBODY_THERE: ReadonlySet<string> = new Set(['ECONNREFUSED', 'ENOENT', 'EINVAL', 'ENAMETOOLONG']);
