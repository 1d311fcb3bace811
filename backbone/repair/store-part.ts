import { chmod, chown, lstat, mkdtemp, open, rename, rm, symlink } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, resolve } from 'node:path';
import { isDamage, isInUse } from '../duckdb/damage.ts';
import { copyDuckdb, ExamineFailed, examineDuckdb } from '../duckdb/examine.ts';
import type { LostRows, RowRange, StoreState } from '../duckdb/examine-protocol.ts';
import { WAL_PARTS } from '../duckdb/opening.ts';
import { ANEW } from '../duckdb/sql.ts';
import { FolderInUse } from '../files/folder-lock.ts';
import {
  bytesInWords,
  counted,
  eachOnce,
  type Keep,
  type KnownSensor,
  type LossFigures,
  type OnRepair,
  type RepairFinding,
  sensorsInWords,
  timeInWords,
  timesInWords,
} from './part.ts';

export interface StoreLook {
  readonly isKnown: KnownSensor;
  readonly onRepair: OnRepair;
  /** When the oldest entry of the live log was written, Unix ms; undefined where nobody can tell. */
  readonly liveSince: number | undefined;
}

/** What a file is called while it is written anew. */
export const REPAIRING = '.repairing';
/** A reading may have waited so long in the queue before it was announced on the live log. */
const LONGEST_WAIT_MS = 7 * 24 * 3_600_000;

const PART = 'store';

/**
 * Reads all of DuckDB's file. Rejects with FolderInUse when a process has it open that does not know our lock, and with
 * the file system's error.
 */
export async function lookAtStore(path: string, look: StoreLook): Promise<RepairFinding[]> {
  const file = resolve(path);
  const size = await sizeOf(file);
  if (size === undefined) return [absent(file, look)];
  const onRows = (rows: number, of: number) => look.onRepair(`store: ${rows} of ${of} values`);
  try {
    return [await stateFinding(file, size, await examineDuckdb(file, onRows), look)];
  } catch (error) {
    if (!(error instanceof ExamineFailed)) throw error;
    if (isInUse(error.message)) throw new FolderInUse(file, 'another process');
    const withoutWal = (await sizeOf(`${file}.wal`)) === undefined ? undefined : await examineWithoutWal(file, onRows);
    if (withoutWal === undefined) return [unopened(file, size, error.message, look)];
    return [walFinding(file, error.message), await stateFinding(file, size, withoutWal, look)];
  }
}

function absent(file: string, { liveSince }: StoreLook): RepairFinding {
  const text =
    liveSince === undefined
      ? 'not there: the next start makes it'
      : `not there: the next start makes a new one, with what the live log has: readings since ${timeInWords(liveSince)}`;
  return { part: PART, path: file, is: 'note', text };
}

async function stateFinding(file: string, size: number, state: StoreState, look: StoreLook): Promise<RepairFinding> {
  const lost = state.lost.reduce((sum, { rows: [from, to] }) => sum + to - from, 0);
  const whole = state.rows - lost;
  const wal = await sizeOf(`${file}.wal`);
  const beside =
    wal === undefined
      ? ''
      : `, with what DuckDB's own log beside it has (${bytesInWords(wal)}): nothing is lost by that`;
  if (lost === 0) {
    const figures = { whole, lost, places: 0, bytes: 0, sensors: [] };
    const text = `${counted(whole, 'value')} in ${bytesInWords(size)} are whole${beside}`;
    return { part: PART, path: file, is: 'whole', text, figures };
  }
  const figures = figuresOf(state.lost, whole, lost);
  return {
    part: PART,
    path: file,
    is: 'damaged',
    text: lostInWords(state, figures, look),
    figures,
    mend: {
      says: `written anew with the ${counted(whole, 'value')} that are whole${isAllNeeded(state, look) ? '; the next start adds what the live log has' : ''}`,
      folder: dirname(file),
      bytes: size + (wal ?? 0),
      keeps: [file],
      run: (keep) => writeAnew(file, state, look, keep),
    },
  };
}

function figuresOf(all: readonly LostRows[], whole: number, lost: number): LossFigures {
  const measured = all.flatMap((rows) => rows.measured ?? []);
  const isTold = all.every((rows) => rows.measured !== undefined);
  return {
    whole,
    lost,
    places: all.length,
    bytes: 0,
    ...(isTold && { from: Math.min(...measured), to: Math.max(...measured) }),
    sensors: eachOnce(all.flatMap(({ sensors }) => sensors)),
  };
}

function lostInWords(state: StoreState, figures: LossFigures, look: StoreLook): string {
  const { isKnown, liveSince } = look;
  const named = sensorsInWords(figures.sensors, isKnown);
  const whose = named === '' ? 'nobody can tell whose' : `of ${named}`;
  const columns = [...new Set(state.lost.flatMap(({ columns }) => columns))].join(', ');
  const times =
    figures.from === undefined ? 'at times that cannot all be told' : timesInWords(figures.from, figures.to);
  const again =
    liveSince === undefined || !isAllNeeded(state, look)
      ? 'none of them is in the live log'
      : `what came since ${timeInWords(liveSince)} is in the live log, and is written again at the next start`;
  return `${figures.lost} of ${state.rows} values cannot be read (in ${counted(figures.places, 'place')}; columns: ${columns || 'unknown'}), measured ${times}, ${whose}; ${again}. ${state.why ?? ''}`.trim();
}

/** Whether the live log may have what was lost. */
function isAllNeeded({ lost, place }: StoreState, { liveSince }: StoreLook): boolean {
  if (place === undefined || liveSince === undefined) return true;
  return lost.some(({ received }) => received === undefined || received[1] >= liveSince - LONGEST_WAIT_MS);
}

/** DuckDB's log keeps its file from being opened. The start would put it aside too. */
function walFinding(file: string, why: string): RepairFinding {
  const path = `${file}.wal`;
  const text = `DuckDB's own log cannot be read: nothing is lost by that, for the live log has what came since the last checkpoint. ${why}`;
  return {
    part: PART,
    path,
    is: 'damaged',
    text,
    mend: { says: 'put aside', folder: dirname(file), bytes: 0, keeps: [path], run: (keep) => takeWalAway(file, keep) },
  };
}

function unopened(file: string, size: number, why: string, { liveSince }: StoreLook): RepairFinding {
  const since = liveSince === undefined ? 'what the live log has' : `readings since ${timeInWords(liveSince)}`;
  if (size > 0 && !isDamage(why) && !/ended by SIG/.test(why)) {
    return { part: PART, path: file, is: 'damaged', text: `DuckDB cannot open it, and it is left alone: ${why}` };
  }
  return {
    part: PART,
    path: file,
    is: 'damaged',
    text: `DuckDB cannot open it: what is in it (${bytesInWords(size)}) cannot be read. A new one will have ${since}; put a backup in its place to have what is older. ${why}`,
    mend: {
      says: `put aside; the next start makes a new one with ${since}`,
      folder: dirname(file),
      bytes: 0,
      keeps: [file],
      run: async (keep) => {
        await keep(file);
        await takeWalAway(file, keep);
        await rm(file);
        await sync(dirname(file));
      },
    },
  };
}

async function examineWithoutWal(
  file: string,
  onRows: (rows: number, of: number) => void,
): Promise<StoreState | undefined> {
  const folder = await mkdtemp(join(tmpdir(), 'loam-repair-'));
  try {
    const link = join(folder, basename(file));
    await symlink(file, link);
    return await examineDuckdb(link, onRows);
  } catch (error) {
    if (!(error instanceof ExamineFailed)) throw error;
    return undefined;
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}

/** The new file takes the place of the old one in one step, when all of it is on disk and the old one is kept. */
async function writeAnew(file: string, state: StoreState, look: StoreLook, keep: Keep): Promise<void> {
  const into = `${file}${REPAIRING}`;
  for (const part of ['', ...WAL_PARTS]) await rm(`${into}${part}`, { force: true });
  const rows = betweenLost(state);
  const place = isAllNeeded(state, look) ? { epoch: ANEW, offset: 0, taken: Date.now() } : state.place;
  const onRows = (done: number, of: number) => look.onRepair(`store: ${done} of ${of} values are written anew`);
  try {
    const copied = await copyDuckdb(file, into, rows, place, onRows);
    const wanted = rows.reduce((sum, [from, to]) => sum + to - from, 0);
    if (copied !== wanted) throw new ExamineFailed(`the new file has ${copied} values and not ${wanted}`);
    const { mode, uid, gid } = await lstat(file);
    await chmod(into, mode & 0o777);
    if (process.geteuid?.() === 0) await chown(into, uid, gid);
    await sync(into);
  } catch (error) {
    for (const part of ['', ...WAL_PARTS]) await rm(`${into}${part}`, { force: true });
    throw error;
  }
  await keep(file);
  // Its rows are in the new file, which must not get them a second time; what is after a checkpoint is in the live log too.
  await takeWalAway(file, keep);
  await rename(into, file);
  await sync(dirname(file));
}

function betweenLost({ lost, rows }: StoreState): RowRange[] {
  const between: RowRange[] = [];
  let at = 0;
  for (const { rows: range } of [...lost, { rows: [rows, rows] satisfies RowRange }]) {
    if (range[0] > at) between.push([at, range[0]]);
    at = range[1];
  }
  return between;
}

async function takeWalAway(file: string, keep: Keep): Promise<void> {
  for (const part of WAL_PARTS) {
    if ((await sizeOf(`${file}${part}`)) === undefined) continue;
    await keep(`${file}${part}`);
    await rm(`${file}${part}`);
  }
  await sync(dirname(file));
}

async function sizeOf(path: string): Promise<number | undefined> {
  try {
    return (await lstat(path)).size;
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

async function sync(path: string): Promise<void> {
  const file = await open(path, 'r');
  try {
    await file.sync();
  } finally {
    await file.close();
  }
}
