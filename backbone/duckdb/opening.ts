import { rename, rm, stat } from 'node:fs/promises';
import { clock } from '../../core/clock.ts';
import { explain, StoreUnavailable } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { pause } from '../../core/timing.ts';
import { isInUse, isRefusal } from './damage.ts';
import { DuckdbProcess } from './process.ts';
import type { OpenedFile, Settings } from './protocol.ts';

/** A process that has the file open, and what it found there. */
export interface OpenDatabase extends OpenedFile {
  readonly process: DuckdbProcess;
  /** DuckDB's own log was there: the file was not closed the last time. */
  readonly hadWal: boolean;
}

/** What DuckDB's own log consists of, each at the file's name with this behind it. */
export const WAL_PARTS = ['.wal', '.wal.checkpoint', '.wal.recovery'];
export const ASIDE = '.unreadable';

/** How long a file may be in use at the start, ms: the process of a Loam that was just killed needs a moment to end. */
const LONGEST_IN_USE_MS = 5_000;
const LOOK_AGAIN_MS = 100;
/** How often a damaged file is looked at, ms: it is opened again when it is another one, and has been still for so long. */
const LOOK_MS = 2_000;

/**
 * As `openDatabase`, for the start: waits a moment for a file that is in use. Rejects with StoreUnavailable where a person
 * has to change the setting, or the other process: the file is in use, or can never be opened by this user. Any other
 * reason is resolved with, as an error.
 */
export async function openAtStart(
  settings: Settings,
  log: Logger | undefined,
): Promise<OpenDatabase | StoreUnavailable> {
  for (const begun = clock.passed(); ; await pause(LOOK_AGAIN_MS)) {
    try {
      return await openDatabase(settings, log);
    } catch (error) {
      const why = explain(error);
      if (isInUse(why) && clock.passed() - begun < LONGEST_IN_USE_MS) continue;
      if (isInUse(why) || isRefusal(why) || !(error instanceof StoreUnavailable)) throw error;
      return error;
    }
  }
}

/**
 * Opens the file in a process of its own. When DuckDB's own log keeps it from being opened, that is put aside: whoever
 * has a live log does not need it. Rejects with StoreUnavailable, and has changed nothing then.
 */
export async function openDatabase(settings: Settings, log: Logger | undefined): Promise<OpenDatabase> {
  const { file } = settings;
  const hadWal = await isThere(`${file}.wal`);
  const first = new DuckdbProcess(settings);
  let why: string;
  try {
    return { ...(await first.opened), process: first, hadWal };
  } catch (error) {
    why = await first.ended;
    if (!hadWal || !mayBeTheWal(why)) throw error;
  }
  await moveWal(file, '', ASIDE);
  const second = new DuckdbProcess(settings);
  try {
    const opened = await second.opened;
    log?.warn(
      { event: 'store_wal_unreadable', file },
      `DuckDB's own log beside ${file} cannot be read and was put aside as ${file}.wal${ASIDE}: ${why}`,
    );
    return { ...opened, process: second, hadWal };
  } catch (error) {
    await second.ended;
    await moveWal(file, ASIDE, '');
    throw error;
  }
}

function mayBeTheWal(why: string): boolean {
  return /\bWAL\b|ended by SIG/.test(why);
}

/** Moves each part that is there; one that is in the way is replaced. */
async function moveWal(file: string, from: string, to: string): Promise<void> {
  for (const part of WAL_PARTS) {
    if (await isThere(`${file}${part}${from}`)) await rename(`${file}${part}${from}`, `${file}${part}${to}`);
    else if (to === ASIDE) await rm(`${file}${part}${to}`, { force: true });
  }
}

async function isThere(path: string): Promise<boolean> {
  return (await identityOf(path)) !== undefined;
}

/** Resolves when the file is another one than at the call, and nobody is writing to it; or when the signal is aborted. */
export async function replaced(file: string, signal: AbortSignal): Promise<void> {
  const before = await identityOf(file);
  let last = before;
  for (;;) {
    await pause(LOOK_MS, signal);
    if (signal.aborted) return;
    const now = await identityOf(file);
    if (now === last && now !== before) return;
    last = now;
  }
}

/** What changes when a file is replaced or written to; undefined when there is none. */
async function identityOf(path: string): Promise<string | undefined> {
  try {
    const { dev, ino, size, mtimeMs } = await stat(path);
    return [dev, ino, size, mtimeMs].join(' ');
  } catch {
    return undefined;
  }
}
