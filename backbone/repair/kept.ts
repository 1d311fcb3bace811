import { constants } from 'node:fs';
import { copyFile, cp, link, lstat, rename, rm, writeFile } from 'node:fs/promises';
import { dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { makeFolder } from '../../core/make-folder.ts';
import { syncPath } from '../../core/sync-path.ts';
import { codeOf } from '../../core/system-error.ts';

/** What the names of these folders begin with. */
export const KEPT = 'repaired-';

/** What files have outside the data folder, below the folder of what was kept. */
const ELSEWHERE = 'elsewhere';

/**
 * The folder in the data folder that gets everything as it was before it was mended, each file at the same relative path.
 * It is made when the first one comes.
 */
export class KeptFolder {
  readonly path: string;
  private readonly data: string;

  private constructor(data: string, path: string) {
    this.data = resolve(data);
    this.path = path;
  }

  /** Finds a name that is not taken. Rejects with the file system's error. */
  static async at(data: string, now: Date): Promise<KeptFolder> {
    const [day, time] = now.toISOString().slice(0, 19).replaceAll(/[-:]/g, '').split('T');
    const name = `${KEPT}${day}-${time}`;
    for (let count = 1; ; count++) {
      const path = join(data, count === 1 ? name : `${name}-${count}`);
      if (!(await isThere(path))) return new KeptFolder(data, path);
    }
  }

  /** Keeps a file, which stays where it is until another one takes its name. Resolves when that is on disk. */
  async keep(path: string): Promise<void> {
    const target = await this.targetOf(path);
    try {
      await link(path, target);
    } catch (error) {
      // What is kept already is as it was when this began.
      if (codeOf(error) === 'EEXIST') return;
      // Another file system, one without links, or a file of another user.
      if (!NO_LINK.has(codeOf(error))) throw error;
      await copyWhole(path, target);
    }
    await syncPath(dirname(target));
  }

  /** Keeps a file or a folder, and takes it away from where it was. */
  async move(path: string): Promise<void> {
    const target = await this.targetOf(path);
    try {
      await rename(path, target);
    } catch (error) {
      if (!NO_LINK.has(codeOf(error))) throw error;
      await cp(path, target, { recursive: true, errorOnExist: true, force: false, preserveTimestamps: true });
      await syncPath(target);
      await syncPath(dirname(target));
      await rm(path, { recursive: true });
    }
    await syncPath(dirname(target));
    await syncPath(dirname(path));
  }

  /** Writes what was found and done beside what was kept. */
  async note(text: string): Promise<void> {
    await this.make(this.path);
    await writeFile(join(this.path, 'README.txt'), text, { flush: true, mode: 0o600 });
    await syncPath(this.path);
  }

  private async targetOf(path: string): Promise<string> {
    const inData = relative(this.data, resolve(path));
    const isInside = !inData.startsWith('..') && !isAbsolute(inData);
    const target = join(this.path, isInside ? inData : join(ELSEWHERE, resolve(path)));
    await this.make(dirname(target));
    return target;
  }

  private async make(folder: string): Promise<void> {
    if (await isThere(folder)) return;
    const highest = await makeFolder(folder, 0o700);
    if (highest !== undefined) await syncPath(dirname(highest));
  }
}

const NO_LINK: ReadonlySet<unknown> = new Set([
  'EXDEV',
  'EPERM',
  'EACCES',
  'ENOTSUP',
  'EOPNOTSUPP',
  'ENOSYS',
  'EMLINK',
]);

async function copyWhole(path: string, target: string): Promise<void> {
  try {
    await copyFile(path, target, constants.COPYFILE_EXCL | constants.COPYFILE_FICLONE);
    await syncPath(target);
  } catch (error) {
    await rm(target, { force: true });
    throw error;
  }
}

async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (error) {
    if (codeOf(error) === 'ENOENT') return false;
    throw error;
  }
}
