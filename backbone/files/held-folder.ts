import { closeSync, openSync, statSync } from 'node:fs';
import { stat } from 'node:fs/promises';
import { join } from 'node:path';

/** A folder that is kept open is no longer what its path leads to. Nothing was written. */
export class FolderGone extends Error {
  constructor(message: string) {
    super(message);
    this.name = 'FolderGone';
  }
}

/** What is wrong with paths that lead elsewhere now, and what to do, for a person. */
export function goneInWords(paths: readonly string[]): string {
  return `${paths.join(', ')}: deleted, moved away or replaced while Loam runs; put back what was there, or restart Loam to go on with what is there now`;
}

/** One file or folder on a file system, however its name changes. */
export interface Inode {
  readonly dev: bigint;
  readonly ino: bigint;
}

/**
 * A folder in use, and files in it, whose paths have to go on leading to what was opened. When somebody deletes the
 * folder, moves it away, puts another one in its place or unmounts it, open files can still be written, but what is
 * written is gone with them, or is in a folder that the next start does not look into. So it must not be acknowledged.
 */
export class HeldFolder {
  private readonly folder: string;
  private readonly always: ReadonlyMap<string, Inode>;
  private followed: ReadonlyMap<string, Inode> = new Map();
  /** Open as long as it is held: otherwise a new folder could be given the number of the deleted one. */
  private readonly handle: number;
  private lost: string | undefined;

  /** `files` are names in the folder; those that are not there are not watched. Throws the file system's error. */
  constructor(folder: string, files: readonly string[]) {
    this.folder = folder;
    this.handle = openSync(folder, 'r');
    this.always = inodesOf([folder, ...files.map((file) => join(folder, file))]);
  }

  /** From now on these files are watched, too, as they are now, in place of those that were given before. */
  follow(files: readonly string[]): void {
    if (this.lost !== undefined && this.followed.has(this.lost)) this.lost = undefined;
    this.followed = inodesOf(files.map((file) => join(this.folder, file)));
  }

  /** The path that no longer leads to what was opened, the folder's or a file's; undefined when all do. As of the last `look`. */
  get gone(): string | undefined {
    return this.lost;
  }

  /** Looks where the paths lead now. Never rejects: where nobody can tell, nothing is refused. */
  async look(): Promise<void> {
    const { always, followed } = this;
    const looked = await Promise.all(
      [...always, ...followed].map(async ([path, was]) => ((await isAt(path, was)) ? [] : [path])),
    );
    // Those that were followed may be others by now.
    [this.lost] = looked.flat().filter((path) => always.has(path) || followed === this.followed);
  }

  close(): void {
    closeSync(this.handle);
  }
}

/** Those of the paths that lead somewhere. */
function inodesOf(paths: readonly string[]): ReadonlyMap<string, Inode> {
  return new Map(
    paths.flatMap((path) => {
      const found = statSync(path, { bigint: true, throwIfNoEntry: false });
      return found === undefined ? [] : [[path, found] as const];
    }),
  );
}

async function isAt(path: string, inode: Inode): Promise<boolean> {
  try {
    return isSame(await stat(path, { bigint: true }), inode);
  } catch (error) {
    return !isMissing(error);
  }
}

/**
 * Whether a path leads to it. Never throws: where nobody can tell, it does. It waits for the file system: that costs a
 * fifth of what handing it to a thread does, where the file was just written, as the system has the names in memory.
 */
export function isAtNow(path: string, inode: Inode): boolean {
  try {
    return isSame(statSync(path, { bigint: true }), inode);
  } catch (error) {
    return !isMissing(error);
  }
}

function isSame(found: Inode, { dev, ino }: Inode): boolean {
  return found.dev === dev && found.ino === ino;
}

function isMissing(error: unknown): boolean {
  const code = error instanceof Error && 'code' in error ? error.code : undefined;
  return code === 'ENOENT' || code === 'ENOTDIR';
}
