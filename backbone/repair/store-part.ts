import { dirname, resolve } from 'node:path';
import { isDamage, isInUse } from '../duckdb/damage.ts';
import { ExamineFailed, examineDuckdb } from '../duckdb/examine.ts';
import type { LostRows, StoreState } from '../duckdb/examine-protocol.ts';
import { bytesAt, examineWithoutWal, giveHeader, putStoreAside, takeWalAway, writeStoreAnew } from '../duckdb/mend.ts';
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

/** A reading may have waited so long in the queue before it was announced on the live log. */
const LONGEST_WAIT_MS = 7 * 24 * 3_600_000;

/** DuckDB itself ended its process, or the system did for what DuckDB did. Not for want of memory. */
const CRASHED = /ended by SIG(?:ABRT|SEGV|BUS|ILL|FPE)/;
/** What is wrong may be the first header alone. */
const FIRST_HEADER = /not a valid DuckDB database file|in block at location 0$/;
/** A shorter file has no more than headers. */
const SMALLEST = 12_288;

const PART = 'store';

/**
 * Reads all of DuckDB's file. Rejects with FolderInUse when a process has it open that does not know our lock, and with
 * the file system's error.
 */
export async function lookAtStore(path: string, look: StoreLook): Promise<RepairFinding[]> {
  const file = resolve(path);
  const size = await bytesAt(file);
  if (size === undefined) return [absent(file, look)];
  const onRows = sayRows(look);
  try {
    return [await stateFinding(file, size, await examineDuckdb(file, onRows), look)];
  } catch (error) {
    if (!(error instanceof ExamineFailed)) throw error;
    if (isInUse(error.message)) throw new FolderInUse(file, 'another process');
    const withoutWal = (await bytesAt(`${file}.wal`)) === undefined ? undefined : await examineWithoutWal(file, onRows);
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
  const wal = await bytesAt(`${file}.wal`);
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
  const again = isAllNeeded(state, look)
    ? `what the live log has of them${liveSince === undefined ? '' : ` (it begins at ${timeInWords(liveSince)})`} is written again at the next start`
    : 'none of them is in the live log';
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
    mend: {
      folder: dirname(file),
      bytes: 0,
      keeps: [path],
      run: async (keep) => {
        await takeWalAway(file, keep);
        return 'put aside';
      },
    },
  };
}

function unopened(file: string, size: number, why: string, look: StoreLook): RepairFinding {
  if (size > 0 && !isDamage(why) && !CRASHED.test(why)) {
    return { part: PART, path: file, is: 'damaged', text: `DuckDB cannot open it, and it is left alone: ${why}` };
  }
  const { liveSince } = look;
  const since = liveSince === undefined ? 'what the live log has' : `readings since ${timeInWords(liveSince)}`;
  const isHeader = size > SMALLEST && FIRST_HEADER.test(why);
  const tried = isHeader
    ? ' When only its first header is damaged, --yes gives it another one, and nothing is lost.'
    : '';
  return {
    part: PART,
    path: file,
    is: 'damaged',
    text: `DuckDB cannot open it, and nothing in it (${bytesInWords(size)}) can be read.${tried} Otherwise a new one will have ${since}; put a backup in its place to have what is older. ${why}`,
    mend: {
      folder: dirname(file),
      bytes: isHeader ? 2 * size : 0,
      keeps: [file],
      run: async (keep) => {
        const state = isHeader ? await giveHeader(file, keep, sayRows(look)) : undefined;
        if (state !== undefined && state.lost.length > 0) return await writeAnew(file, state, look, keep);
        if (state !== undefined) return `it got another header, and its ${counted(state.rows, 'value')} are whole`;
        await putStoreAside(file, keep);
        return `put aside; the next start makes a new one with ${since}`;
      },
    },
  };
}

async function writeAnew(file: string, state: StoreState, look: StoreLook, keep: Keep): Promise<string> {
  const isNeeded = isAllNeeded(state, look);
  // A file without a place gets everything that the live log has.
  const place = isNeeded ? undefined : state.place;
  const whole = await writeStoreAnew(file, state, place, keep, sayRows(look));
  const next = isNeeded ? '; the next start adds what the live log has' : '';
  return `written anew with the ${counted(whole, 'value')} that are whole${next}`;
}

function sayRows({ onRepair }: StoreLook): (rows: number, of: number) => void {
  return (rows, of) => onRepair(`store: ${rows} of ${of} values`);
}
