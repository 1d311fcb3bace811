import {
  chmod,
  chown,
  constants,
  copyFile,
  mkdtemp,
  open,
  readFile,
  rename,
  rm,
  stat,
  symlink,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { syncPath } from '../../core/sync-path.ts';
import type { Keep } from '../repair/part.ts';
import { copyDuckdb, ExamineFailed, examineDuckdb, freshDuckdb, type OnRows } from './examine.ts';
import type { RowRange, StoreState } from './examine-protocol.ts';
import { WAL_PARTS } from './opening.ts';
import type { KeptPlace } from './protocol.ts';

/** What a file is called while it is written anew. */
export const REPAIRING = '.repairing';

/** The first of three: it has the version, and the same bytes in each file of one version. The others say what is where. */
const HEADER_BYTES = 4_096;

/**
 * Writes the file anew with the rows that can be read. The new one takes its place in one step, when all of it is on disk
 * and the old one is kept. Resolves with how many rows it has. Rejects with ExamineFailed or the file system's error; the
 * file is as it was then.
 */
export async function writeStoreAnew(
  file: string,
  state: StoreState,
  place: KeptPlace | undefined,
  keep: Keep,
  onRows: OnRows,
): Promise<number> {
  const into = `${file}${REPAIRING}`;
  await removeAll(into);
  const rows = betweenLost(state);
  const wanted = rows.reduce((sum, [from, to]) => sum + to - from, 0);
  try {
    const copied = await copyDuckdb(file, into, rows, place, onRows);
    if (copied !== wanted) throw new ExamineFailed(`the new file has ${copied} values and not ${wanted}`);
    await putInPlace(into, file, keep);
  } catch (error) {
    await removeAll(into);
    throw error;
  }
  return wanted;
}

/**
 * Gives the file the first header that each file of this version has, where that alone is damaged. Resolves with what is
 * in it then; with undefined, and the file as it was, when that is not the reason.
 */
export async function giveHeader(file: string, keep: Keep, onRows: OnRows): Promise<StoreState | undefined> {
  const into = `${file}${REPAIRING}`;
  await removeAll(into);
  try {
    const header = await freshHeader();
    await copyFile(file, into, constants.COPYFILE_FICLONE);
    const copy = await open(into, 'r+');
    try {
      await copy.write(header, 0, HEADER_BYTES, 0);
    } finally {
      await copy.close();
    }
    const state = await examineDuckdb(into, onRows);
    await putInPlace(into, file, keep);
    return state;
  } catch (error) {
    await removeAll(into);
    if (error instanceof ExamineFailed) return undefined;
    throw error;
  }
}

/** Takes the file away, and DuckDB's own log; both are kept. */
export async function putStoreAside(file: string, keep: Keep): Promise<void> {
  await keep(file);
  await takeWalAway(file, keep);
  await rm(file);
  await syncPath(dirname(file));
}

/** Takes DuckDB's own log away, which is kept. */
export async function takeWalAway(file: string, keep: Keep): Promise<void> {
  for (const part of WAL_PARTS) {
    if ((await bytesAt(`${file}${part}`)) === undefined) continue;
    await keep(`${file}${part}`);
    await rm(`${file}${part}`);
  }
  await syncPath(dirname(file));
}

/** As `examineDuckdb`, without DuckDB's own log. Resolves with undefined when the file cannot be opened so either. */
export async function examineWithoutWal(file: string, onRows: OnRows): Promise<StoreState | undefined> {
  return await inTemporaryFolder(async (folder) => {
    const link = join(folder, basename(file));
    await symlink(file, link);
    try {
      return await examineDuckdb(link, onRows);
    } catch (error) {
      if (error instanceof ExamineFailed) return undefined;
      throw error;
    }
  });
}

/** The length of a file; undefined when it is not there. */
export async function bytesAt(path: string): Promise<number | undefined> {
  try {
    return (await stat(path)).size;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/**
 * The rows that DuckDB's own log has are in the new file, which must not get them a second time; and whatever of them is
 * not is in the live log too. So that log is taken away before the new file gets its name.
 */
async function putInPlace(into: string, file: string, keep: Keep): Promise<void> {
  const { mode, uid, gid } = await stat(file);
  await chmod(into, mode & 0o777);
  if (process.geteuid?.() === 0) await chown(into, uid, gid);
  await syncPath(into);
  await keep(file);
  await takeWalAway(file, keep);
  await rename(into, file);
  await syncPath(dirname(file));
}

async function freshHeader(): Promise<Buffer> {
  return await inTemporaryFolder(async (folder) => {
    const file = join(folder, 'fresh.duckdb');
    await freshDuckdb(file);
    return (await readFile(file)).subarray(0, HEADER_BYTES);
  });
}

function betweenLost({ lost, rows }: StoreState): RowRange[] {
  const between: RowRange[] = [];
  let at = 0;
  for (const [from, to] of [...lost.map((one) => one.rows), [rows, rows] satisfies RowRange]) {
    if (from > at) between.push([at, from]);
    at = to;
  }
  return between;
}

async function removeAll(file: string): Promise<void> {
  for (const part of ['', ...WAL_PARTS]) await rm(`${file}${part}`, { force: true });
}

async function inTemporaryFolder<T>(work: (folder: string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'loam-repair-'));
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
