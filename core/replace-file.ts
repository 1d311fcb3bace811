import { randomUUID } from 'node:crypto';
import { type FileHandle, link, lstat, open, readdir, rename, rm, stat } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { clock } from './clock.ts';
import { UNFINISHED } from './system-error.ts';

/** Owner and permissions of a file. */
interface FileOwnership {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/**
 * Writes a whole file in one step: after a crash all of the new text is there, or nothing of it. A replaced file keeps
 * its owner, group and mode, so that its readers can still read it when another user edited it. A new file has mode
 * 0600; when root makes it, it gets the owner of its folder. With `like` the file gets the owner, group and mode of that
 * file instead. Resolves when the text is on disk. Rejects, and leaves everything as it was, when it cannot be written
 * or cannot be given its owner.
 */
export async function replaceFile(path: string, text: string, like = path): Promise<void> {
  const next = unfinished(path);
  try {
    await writeWhole(next, text, await ownershipOf(like));
    await rename(next, path);
  } catch (error) {
    await removeUnfinished(next);
    throw error;
  }
  await syncFolderOf(path);
}

/**
 * Writes a whole new file in one step, with mode 0600 as `replaceFile` does. A file that is there already stays as it is,
 * also when another process makes it at the same moment.
 */
export async function makeFile(path: string, text: string): Promise<void> {
  const next = unfinished(path);
  try {
    await writeWhole(next, text, await ownershipOf(next));
    await link(next, path);
    await syncFolderOf(path);
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'EEXIST')) throw error;
  } finally {
    await removeUnfinished(next);
  }
}

/**
 * Removes from a folder what a process left there that ended while it wrote a file. What is younger than `olderThanMs`
 * stays: another process may be writing it. Never rejects: what cannot be removed does no harm.
 */
export async function removeLeftovers(folder: string, olderThanMs: number): Promise<void> {
  const names = await readdir(folder).catch(() => []);
  for (const name of names) {
    if (name.replace(UNFINISHED, '') === name) continue;
    const path = join(folder, name);
    const found = await lstat(path).catch(() => undefined);
    if (found?.isFile() && clock.now() - found.mtimeMs >= olderThanMs) await removeUnfinished(path);
  }
}

function unfinished(path: string): string {
  return `${path}.${randomUUID()}.tmp`;
}

/** Never rejects: the error that came before says more than the one of a removal. */
async function removeUnfinished(path: string): Promise<void> {
  await rm(path, { force: true }).catch(() => {});
}

/** A power cut takes back a name that was given, unless the folder is written too. Where folders cannot be, it is left. */
async function syncFolderOf(path: string): Promise<void> {
  const folder = await open(dirname(path), 'r').catch(() => undefined);
  try {
    await folder?.sync().catch(() => {});
  } finally {
    await folder?.close();
  }
}

async function writeWhole(path: string, text: string, ownership: FileOwnership | undefined): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    if (ownership) await applyOwnership(file, ownership);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** The owner and mode that the file must get; undefined when those of any new file of this process are right. */
async function ownershipOf(path: string): Promise<FileOwnership | undefined> {
  // Windows has no such owners.
  if (process.geteuid === undefined) return undefined;
  try {
    const before = await lstat(path);
    // A symbolic link is replaced itself: its target does not say who may read the new file.
    if (before.isFile()) return { uid: before.uid, gid: before.gid, mode: before.mode & 0o777 };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  if (process.geteuid() !== 0) return undefined;
  const { uid, gid } = await stat(dirname(path));
  return { uid, gid, mode: 0o600 };
}

async function applyOwnership(file: FileHandle, { uid, gid, mode }: FileOwnership): Promise<void> {
  const made = await file.stat();
  // Root can read every file. So a file of root's may become the file of the user who replaces it.
  const owner = uid === 0 && process.geteuid?.() !== 0 ? made.uid : uid;
  const group = gid === 0 && process.geteuid?.() !== 0 ? made.gid : gid;
  try {
    if (made.uid !== owner || made.gid !== group) await file.chown(owner, group);
    await file.chmod(mode);
  } catch (cause) {
    throw new Error(
      `it belongs to user ${uid} and group ${gid} and cannot be kept theirs: edit it as that user, or as root`,
      {
        cause,
      },
    );
  }
}
