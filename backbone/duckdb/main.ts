import { Socket } from 'node:net';
import { explain } from '../../core/errors.ts';
import { isDamage } from './damage.ts';
import { Database } from './database.ts';
import { FrameReader, sendFrame } from './frames.ts';
import { type Ask, rowsOf, type Settings, type StoreAnswer, type StoreReply, type StoreRequest } from './protocol.ts';
import { exported } from './sql.ts';

/**
 * The process that owns the database. DuckDB ends the process it is in when its disk fails or memory is short, and its
 * appender blocks its thread for tens of ms: so nothing else is in this one.
 *
 * It opens the file, says so, and answers requests until it is told to close. When a write fails, or DuckDB declares
 * the database broken or finds it damaged, it says why and ends: only an instance that reads the file anew can be
 * trusted then.
 *
 * Its owner's end closes the channel, and ends it too, however the owner ended. Signals of a terminal reach both; this
 * one waits for what its owner decides.
 */

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});

const settings: Settings = JSON.parse(process.argv[2] ?? '');
const channel = new Socket({ fd: 3 });
// The error of a channel that broke; `close` follows.
channel.on('error', () => {});
// The library aborts when the process ends in the middle of a statement, and may then leave a core file: SIGKILL leaves
// nothing. What was confirmed is on disk.
channel.once('close', () => process.kill(process.pid, 'SIGKILL'));

function say(reply: StoreReply): void {
  sendFrame(channel, reply);
}

async function answer(
  database: Database,
  { id, ask }: StoreRequest,
  columns: Uint8Array<ArrayBuffer>,
): Promise<StoreAnswer> {
  switch (ask.is) {
    case 'write':
      await database.write(rowsOf(ask.names, ask.count, columns));
      return { is: 'done' };
    case 'latest':
      return { is: 'values', values: await database.latest(ask.farm) };
    case 'history':
      return { is: 'buckets', buckets: await database.history(id, ask.query) };
    case 'export':
      database.exports.begin(id, exported(ask.query));
      return { is: 'done' };
    case 'next':
      return { is: 'values', values: await database.exports.next(ask.of) };
    case 'leave':
      database.leave(ask.of);
      return { is: 'done' };
    case 'checkpoint':
      await database.checkpoint(ask.place);
      return { is: 'done' };
    case 'alive':
      return { is: 'done' };
    case 'close':
      database.close();
      return { is: 'done' };
  }
}

async function serve(
  opening: Promise<Database | undefined>,
  request: StoreRequest,
  columns: Uint8Array<ArrayBuffer>,
): Promise<void> {
  if (request.ask.is === 'alive') {
    say({ is: 'answer', id: request.id, answer: { is: 'done' } });
    return;
  }
  const database = await opening;
  if (database === undefined) return;
  try {
    say({ is: 'answer', id: request.id, answer: await answer(database, request, columns) });
  } catch (error) {
    const why = explain(error);
    say({ is: 'failed', id: request.id, why });
    if (isBroken(request.ask, why)) end(why);
  }
  if (request.ask.is === 'close') channel.end();
}

function isBroken(ask: Ask, why: string): boolean {
  return ask.is === 'write' || why.includes('database has been invalidated') || isDamage(why);
}

/** Says why it can do nothing more, and ends without touching the files. */
function end(why: string): void {
  say({ is: 'broken', why });
  channel.end();
}

process.once('uncaughtException', (error) => end(explain(error)));

const opening = open();
const frames = new FrameReader<StoreRequest>((request, columns) => void serve(opening, request, columns));
channel.on('data', (piece: Buffer) => frames.push(piece));

/** Undefined when it cannot be opened, after that was said. */
async function open(): Promise<Database | undefined> {
  try {
    const database = await Database.open(settings);
    say({ is: 'open', ...database.found });
    return database;
  } catch (error) {
    end(explain(error));
    return undefined;
  }
}
