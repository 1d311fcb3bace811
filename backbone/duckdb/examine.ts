import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { explain } from '../../core/errors.ts';
import { programEntry } from '../../core/thread.ts';
import { type ExamineAsk, type ExamineSaid, type RowRange, type StoreState, saidOf } from './examine-protocol.ts';
import { refuseName } from './file-name.ts';
import type { KeptPlace } from './protocol.ts';

const ENTRY = programEntry(new URL('./examine-main.ts', import.meta.url));
const MEMORY_LIMIT_MB = 256;
const MOST_PRINTED = 2_000;

export type OnRows = (rows: number, of: number) => void;

/** DuckDB cannot open a file, or cannot write what is copied of it. */
export class ExamineFailed extends Error {
  constructor(why: string) {
    super(why);
    this.name = 'ExamineFailed';
  }
}

/**
 * Reads all of a file of DuckDB to its end, in a process of its own. What DuckDB's own log beside it has is part of it.
 * Nothing is changed. Rejects with ExamineFailed.
 */
export async function examineDuckdb(file: string, onRows: OnRows): Promise<StoreState> {
  try {
    refuseName(file);
  } catch (error) {
    throw new ExamineFailed(explain(error));
  }
  const said = await ask({ is: 'look', file, memoryLimitMb: MEMORY_LIMIT_MB }, onRows);
  if (said.is === 'state') return said;
  throw new ExamineFailed(said.is === 'failed' ? said.why : 'it said nothing');
}

/**
 * Makes the file `into` with these rows of `file`, in their order, and the place in the live log that it has everything
 * before. Resolves with how many rows it has, when they are on disk. Rejects with ExamineFailed.
 */
export async function copyDuckdb(
  file: string,
  into: string,
  rows: readonly RowRange[],
  place: KeptPlace | undefined,
  onRows: OnRows,
): Promise<number> {
  const given: ExamineAsk = { is: 'copy', file, memoryLimitMb: MEMORY_LIMIT_MB, into, rows: [...rows] };
  const said = await ask(place === undefined ? given : { ...given, place }, onRows);
  if (said.is === 'copied') return said.rows;
  throw new ExamineFailed(said.is === 'failed' ? said.why : 'it said nothing');
}

/** Makes a new file without a row. Rejects with ExamineFailed. */
export async function freshDuckdb(into: string): Promise<void> {
  const said = await ask({ is: 'fresh', memoryLimitMb: MEMORY_LIMIT_MB, into }, () => {});
  if (said.is !== 'copied') throw new ExamineFailed(said.is === 'failed' ? said.why : 'it said nothing');
}

/** Resolves with the last that the process says. */
async function ask(given: ExamineAsk, onRows: OnRows): Promise<Exclude<ExamineSaid, { is: 'at' }>> {
  const child = spawn(process.execPath, ENTRY, { stdio: ['pipe', 'pipe', 'pipe'] });
  // A process that ended breaks its pipe. That it ended is heard of in any case.
  child.stdin.on('error', () => {});
  child.stdin.write(`${JSON.stringify(given)}\n`);
  let printed = '';
  child.stderr.setEncoding('utf8').on('data', (piece: string) => {
    printed = (printed + piece).slice(-MOST_PRINTED);
  });
  const ended = new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(`its process cannot be started: ${explain(error)}`));
    child.once('close', (code, signal) => resolve(`its process ended by ${signal ?? `itself with code ${code}`}`));
  });
  let last: Exclude<ExamineSaid, { is: 'at' }> | undefined;
  for await (const line of createInterface({ input: child.stdout })) {
    const said = saidOf(line);
    if (said.is === 'at') onRows(said.rows, said.of);
    else last = said;
  }
  const how = await ended;
  return last ?? { is: 'failed', why: [how, printed.trim()].filter((part) => part !== '').join(': ') };
}
