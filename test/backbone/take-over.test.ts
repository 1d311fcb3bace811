import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { DEAD_LOG_LIMITS, LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { QueueUnavailable } from '../../core/errors.ts';
import { shortOrLong } from '../services/length.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { startChild } from './child-process.ts';
import { type OldLog, type OldQueue, openAsOldLoam, writeOldLog, writeOldQueue } from './lmdb-files.ts';
import { rejection } from './numbered.ts';

const text = (body: Uint8Array) => Buffer.from(body).toString().trim();

/** Everything that the queue delivers, with its attempt, in order of the first deliveries. */
async function deliveries(queue: Queue): Promise<[string, number][]> {
  const seen: [string, number][] = [];
  await queue.consume(async ({ body, attempt }) => void seen.push([text(body), attempt]), { prefetch: 1 });
  await until('an empty queue', async () => (await queue.depth()) === 0);
  return seen;
}

const QUEUE: OldQueue = {
  messages: [3, 4, 7, 8, 9].map((sequence) => [sequence, `message ${sequence}`]),
  attempts: [
    [3, 2],
    [8, 1],
  ],
  // A handler was at these when the process ended.
  handedOut: 4,
};
const DELIVERED = [
  ['message 3', 4],
  ['message 4', 2],
  ['message 7', 1],
  ['message 8', 2],
  ['message 9', 1],
];

describe('what an earlier version kept in LMDB files', function () {
  this.timeout(120_000);
  let folder: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  it('is taken over once: messages with their order and attempts; the old file is kept beside', async () => {
    await writeOldQueue(folder, QUEUE);
    const old = await readFile(join(folder, 'data.mdb'));
    const queue = await openFileQueue(folder);
    await queue.publish(Buffer.from('new'));
    expect(await deliveries(queue)).to.deep.equal([...DELIVERED, ['new', 1]]);
    await queue.close();
    expect((await readFile(join(folder, 'lmdb-kept/data.mdb'))).equals(old)).to.equal(true);
    const again = await openFileQueue(folder);
    expect(await again.depth()).to.equal(0);
    await again.close();
  });

  it('a queue in a folder inside the folder of another is taken over for itself', async () => {
    await writeOldQueue(folder, QUEUE);
    await writeOldQueue(join(folder, 'slow'), { ...QUEUE, messages: [[1, 'slow']], attempts: [], handedOut: 0 });
    const fast = await openFileQueue(folder);
    const slow = await openFileQueue(join(folder, 'slow'));
    expect(await deliveries(slow)).to.deep.equal([['slow', 1]]);
    expect(await deliveries(fast)).to.deep.equal(DELIVERED);
    await Promise.all([fast.close(), slow.close()]);
  });

  for (const [name, limits] of Object.entries({ LIVE_LOG_LIMITS, DEAD_LOG_LIMITS })) {
    it(`a log keeps its epoch, its offsets and what was trimmed (${name})`, async () => {
      const old: OldLog = {
        epoch: 'the-old-one',
        first: 5,
        next: 12,
        lived: 1_000,
        written: Date.now(),
        entries: [5, 6, 7, 8, 9, 10, 11].map((offset) => [offset, `entry ${offset}`]),
        marks: [
          [6, 100],
          [9, 500],
        ],
      };
      await writeOldLog(join(folder, 'x'), old);
      const log = await openFileLog(folder, 'x', limits);
      expect(await log.head()).to.deep.equal({ epoch: 'the-old-one', first: 5, next: 12 });
      await log.append(Buffer.from('new'));
      const entries = await log.read({ offset: 7, epoch: 'the-old-one' }, 100);
      expect(entries.map(({ offset, body }) => [offset, text(body)])).to.deep.equal([
        ...old.entries.slice(2),
        [12, 'new'],
      ]);
      await log.close();
    });
  }

  it('a log that is the only copy goes on ageing where it was, and one without entries keeps its epoch and its next offset', async () => {
    const old: OldLog = {
      epoch: 'e',
      first: 0,
      next: 2,
      lived: 1_000,
      written: 0,
      entries: [
        [0, 'old'],
        [1, 'young'],
      ],
      marks: [
        [0, 0],
        [1, 300],
      ],
    };
    await writeOldLog(join(folder, 'x'), old);
    const log = await openFileLog(folder, 'x', { ...DEAD_LOG_LIMITS, maxAgeMs: 1_000_000 });
    expect(await log.read('first', 10)).to.have.length(2);
    await log.close();
    await writeOldLog(join(folder, 'empty'), { ...old, first: 2, entries: [], marks: [] });
    const empty = await openFileLog(folder, 'empty', LIVE_LOG_LIMITS);
    expect(await empty.head()).to.deep.equal({ epoch: 'e', first: 2, next: 2 });
    await empty.close();
  });

  it('killed at any time of it, the next start goes on: nothing is lost, and nothing is there twice', async () => {
    const messages = Array.from({ length: 160 }, (_, i): [number, string] => [i + 1, `m${i}`.padEnd(420_000)]);
    const source = join(folder, 'old');
    await writeOldQueue(source, { messages, attempts: [], handedOut: 0 });
    for (let kill = 0; kill < shortOrLong(1, 4); kill++) {
      const dir = join(folder, `killed-${kill}`);
      await mkdir(dir);
      await writeFile(join(dir, 'data.mdb'), await readFile(join(source, 'data.mdb')));
      const child = await startChild(
        { script: 'child-queue-file.ts', env: { QUEUE_DIR: dir } },
        { TASK: 'hold', PREFETCH: '1' },
      );
      const files = async () => {
        const names = await readdir(dir);
        const unfinished = names.find((each) => each.startsWith('segments.new-'));
        if (unfinished !== undefined) return (await readdir(join(dir, unfinished)).catch(() => [])).length;
        return names.includes('segments') ? 100 : -1;
      };
      await until('so much of it to be done', async () => (await files()) >= kill, { everyMs: 1 });
      await child.kill();
      const queue = await openFileQueue(dir);
      const seen = await deliveries(queue);
      expect(seen.map(([body]) => body)).to.deep.equal(messages.map(([, body]) => body.trim()));
      await queue.close();
      expect((await readdir(dir)).filter((name) => name.startsWith('segments'))).to.deep.equal(['segments']);
    }
  });

  it('a file that is damaged is said to be, stays as it is, and does not end this process', async () => {
    await writeFile(join(folder, 'data.mdb'), Buffer.alloc(100_000, 'x'));
    for (let times = 0; times < 2; times++) {
      const error = await rejection(openFileQueue(folder));
      expect(error).to.be.instanceOf(QueueUnavailable);
      expect(String(error instanceof Error && error.cause)).to.include('cannot be taken over');
    }
    expect((await stat(join(folder, 'data.mdb'))).size).to.equal(100_000);
    expect((await readdir(folder)).filter((name) => name.startsWith('segments'))).to.deep.equal([]);
  });

  it('where the package lmdb is missing the start says what to install, and goes on when it is there', async () => {
    await writeOldQueue(folder, QUEUE);
    const hook = `export const resolve = (name, context, next) => {
      if (name === 'lmdb') throw Object.assign(new Error('no lmdb'), { code: 'ERR_MODULE_NOT_FOUND' });
      return next(name, context);
    };`;
    const url = (script: string) => `data:text/javascript,${encodeURIComponent(script)}`;
    const register = url(`import { register } from 'node:module'; register(${JSON.stringify(url(hook))});`);
    const before = process.env.NODE_OPTIONS;
    process.env.NODE_OPTIONS = `--import=${register}`;
    try {
      const error = await rejection(openFileQueue(folder));
      expect(String(error instanceof Error && error.cause)).to.include('npm install --no-save lmdb@');
    } finally {
      if (before === undefined) delete process.env.NODE_OPTIONS;
      else process.env.NODE_OPTIONS = before;
    }
    const queue = await openFileQueue(folder);
    expect(await deliveries(queue)).to.deep.equal(DELIVERED);
    await queue.close();
  });

  it('an earlier version that is started by mistake refuses the folder, before and after there was an old file', async () => {
    await (await openFileQueue(join(folder, 'new'))).close();
    await writeOldQueue(join(folder, 'taken'), QUEUE);
    await (await openFileQueue(join(folder, 'taken'))).close();
    for (const name of ['new', 'taken']) {
      expect(await rejection(openAsOldLoam(join(folder, name)))).to.be.instanceOf(Error);
      const queue = await openFileQueue(join(folder, name));
      expect(await queue.depth()).to.equal(name === 'new' ? 0 : 5);
      await queue.close();
    }
  });

  it('an old file that was used after it was taken over is not thrown away: the start says that there are two', async () => {
    await writeOldQueue(folder, QUEUE);
    await (await openFileQueue(folder)).close();
    await rm(join(folder, 'data.mdb'), { recursive: true });
    await writeOldQueue(folder, { ...QUEUE, messages: [[1, 'other']] });
    const error = await rejection(openFileQueue(folder));
    expect(String(error instanceof Error && error.cause)).to.include('has both');
    await rename(join(folder, 'data.mdb'), join(folder, 'aside'));
    const queue = await openFileQueue(folder);
    expect(await deliveries(queue)).to.deep.equal(DELIVERED);
    await queue.close();
  });
});
