import { randomUUID } from 'node:crypto';
import { type FileHandle, lstat, open, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';

/** Whose a file is, and who may read it. */
interface FileOwnership {
  readonly uid: number;
  readonly gid: number;
  readonly mode: number;
}

/**
 * Writes a whole file in one step: all of it is there after a crash, or nothing of it. Owner, group and mode of the file that it replaces are
 * kept; a new file has mode 0600, and made by root it is the owner's of its folder: who edits a file must not take it from who reads it.
 * Rejects, and leaves everything as it was, when that is not allowed.
 */
export async function replaceFile(path: string, text: string): Promise<void> {
  const ownership = await ownershipOf(path);
  const next = `${path}.${randomUUID()}.tmp`;
  try {
    await writeWhole(next, text, ownership);
    await rename(next, path);
  } catch (error) {
    await rm(next, { force: true });
    throw error;
  }
}

async function writeWhole(path: string, text: string, ownership: FileOwnership | undefined): Promise<void> {
  const file = await open(path, 'wx', 0o600);
  try {
    await file.writeFile(text);
    if (ownership) await give(file, ownership);
    await file.sync();
  } finally {
    await file.close();
  }
}

/** What the file is to have; undefined: what a new file of this process has. */
async function ownershipOf(path: string): Promise<FileOwnership | undefined> {
  // Not on Windows.
  if (process.geteuid === undefined) return undefined;
  try {
    const before = await lstat(path);
    // A link is replaced itself: what it leads to says nothing of who may read the new file.
    if (before.isFile()) return { uid: before.uid, gid: before.gid, mode: before.mode & 0o777 };
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
  }
  if (process.geteuid() !== 0) return undefined;
  const { uid, gid } = await stat(dirname(path));
  return { uid, gid, mode: 0o600 };
}

async function give(file: FileHandle, { uid, gid, mode }: FileOwnership): Promise<void> {
  const made = await file.stat();
  // Root reads whatever there is: what was root's may become another's.
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
