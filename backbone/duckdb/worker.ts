import { parentPort, workerData } from 'node:worker_threads';
import { explain } from '../../core/errors.ts';
import { Database } from './database.ts';
import type { Ask, Settings, StoreAnswer, StoreReply, StoreRequest } from './protocol.ts';
import { exported } from './sql.ts';

/**
 * The thread that owns the database. The appender blocks its thread for tens of ms, so that must not be the process's
 * main thread.
 *
 * It opens the file, says so, and answers requests until it is told to close. When a write fails, or DuckDB declares
 * the database broken, it says why and ends: only an instance that reads the file and DuckDB's own log anew can be
 * trusted then. To end, it stops listening and lets running statements finish, since DuckDB aborts the whole process
 * when their thread is terminated.
 */

const settings: Settings = workerData;

function say(reply: StoreReply): void {
  parentPort?.postMessage(reply);
}

async function answer(database: Database, { id, ask }: StoreRequest): Promise<StoreAnswer> {
  switch (ask.is) {
    case 'write':
      await database.write(ask.rows);
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
    case 'close':
      database.close();
      return { is: 'done' };
  }
}

async function serve(database: Database, request: StoreRequest): Promise<void> {
  try {
    say({ is: 'answer', id: request.id, answer: await answer(database, request) });
  } catch (error) {
    const why = explain(error);
    say({ is: 'failed', id: request.id, why });
    if (isBroken(request.ask, why)) end(why, database);
  }
  if (request.ask.is === 'close') parentPort?.close();
}

function isBroken(ask: Ask, why: string): boolean {
  return ask.is === 'write' || why.includes('database has been invalidated');
}

function end(why: string, database?: Database): void {
  say({ is: 'broken', why });
  parentPort?.close();
  try {
    database?.close();
  } catch {
    // What DuckDB could not write is in its own log, or that write was rejected already.
  }
}

process.once('uncaughtException', (error) => end(explain(error)));

try {
  const database = await Database.open(settings);
  parentPort?.on('message', (request: StoreRequest) => void serve(database, request));
  say({ is: 'open' });
} catch (error) {
  end(explain(error));
}
