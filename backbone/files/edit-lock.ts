import { closeSync, constants, fstatSync, openSync, rmSync, statSync } from 'node:fs';
import { tryLock } from 'fs-native-extensions';
import { clock } from '../../core/clock.ts';
import { giveToFoldersOwner } from '../../core/folders-owner.ts';
import { codeOf } from '../../core/system-error.ts';
import { pause } from '../../core/timing.ts';

const AGAIN_MS = 20;

/**
 * Takes the right to edit `file`, by a lock of the kernel on `file.lock`, waiting for it up to `waitMs`. Resolves with
 * the function that gives it back; with undefined when another process, or another part of this one, has it all that
 * time. Rejects with the error of the file system when there can be no such lock.
 *
 * The lock file is removed by who gives the lock back, so that nothing stays beside a file that people edit. So whoever
 * gets a lock looks whether it is on the file that is there now: one on a removed file counts for nothing. A lock ends
 * with its holder, and a file that a dead one left is locked as any other.
 */
export async function lockForEdit(file: string, waitMs: number): Promise<(() => void) | undefined> {
  const end = clock.passed() + waitMs;
  for (;;) {
    const release = tryToLock(`${file}.lock`);
    if (release) return release;
    if (clock.passed() > end) return undefined;
    await pause(AGAIN_MS);
  }
}

function tryToLock(path: string): (() => void) | undefined {
  const file = openOrMake(path);
  if (file === undefined) return undefined;
  try {
    if (tryLock(file) && isStillAt(path, file)) {
      return () => {
        // While it is locked: somebody else's would be removed after that.
        rmSync(path, { force: true });
        closeSync(file);
      };
    }
  } catch (error) {
    closeSync(file);
    throw error;
  }
  closeSync(file);
  return undefined;
}

/** Undefined when the file went away in between. A link in its place is not followed: root would write where it leads. */
function openOrMake(path: string): number | undefined {
  try {
    const made = openSync(path, constants.O_RDWR | constants.O_CREAT | constants.O_EXCL, 0o600);
    // When root dies while it edits, Loam's own user must be able to lock what it left.
    giveToFoldersOwner(path, made);
    return made;
  } catch (error) {
    if (codeOf(error) !== 'EEXIST') throw error;
  }
  try {
    return openSync(path, constants.O_RDWR | constants.O_NOFOLLOW);
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return undefined;
    throw error;
  }
}

function isStillAt(path: string, file: number): boolean {
  const found = statSync(path, { throwIfNoEntry: false });
  const { dev, ino } = fstatSync(file);
  return found !== undefined && found.dev === dev && found.ino === ino;
}
