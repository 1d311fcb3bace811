import { mkdir, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { FolderInUse } from '../../backbone/files/folder-lock.ts';
import { DEFAULT_QUEUE_LIMITS } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { QueueFull, QueueUnavailable } from '../../core/errors.ts';
import { temporaryFolder } from '../services/wait.ts';
import { startChild } from './child-process.ts';
import { rejection } from './numbered.ts';
import { queueContract } from './queue-suite.ts';
import { runTraced, syncsBefore } from './trace.ts';

queueContract('file', async () => {
  const folder = await temporaryFolder();
  return {
    open: (limits) => openFileQueue(folder, { ...DEFAULT_QUEUE_LIMITS, ...limits }),
    supports: { manyOpeners: false, exactLimits: true },
    child: childFor(folder),
    cleanup: () => rm(folder, { recursive: true }),
  };
});

describe('file queue', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  it('counts what it holds over reopening: the limit is exact then, too', async () => {
    for (const [limits, size] of [
      [{ maxMessages: 5, maxBytes: 1_000_000 }, 10],
      [{ maxMessages: 1_000, maxBytes: 50 }, 10],
    ] as const) {
      const dir = join(folder, JSON.stringify(limits));
      const first = await openFileQueue(dir, limits);
      for (let n = 0; n < 3; n++) await first.publish(Buffer.alloc(size));
      await first.close();
      const second = await openFileQueue(dir, limits);
      for (let n = 3; n < 5; n++) await second.publish(Buffer.alloc(size));
      expect(await rejection(second.publish(Buffer.alloc(size)))).to.be.instanceOf(QueueFull);
      expect(await second.depth()).to.equal(5);
      await second.close();
    }
  });

  it('refuses a second opener with QueueUnavailable, in this process or another, until the first has closed', async () => {
    const first = await openFileQueue(folder);
    await expectInUse(folder);
    const other = await startChild(childFor(folder), { TASK: 'hold', PREFETCH: '1' });
    expect(await other.ended).to.equal(1);
    await first.publish(Buffer.from('1'));
    await first.close();
    const child = await startChild(childFor(folder), { TASK: 'hold', PREFETCH: '1' });
    await child.printed(1);
    await expectInUse(folder);
    await child.kill();
    await (await openFileQueue(folder)).close();
  });

  it('is locked also where the path is too long for a socket', async () => {
    const long = join(folder, 'x'.repeat(120));
    await mkdir(long);
    const first = await openFileQueue(long);
    await expectInUse(long);
    await first.close();
    await (await openFileQueue(long)).close();
  });

  it('opening where nothing can be written rejects with QueueUnavailable', async () => {
    const file = join(folder, 'file');
    await writeFile(file, '');
    expect(await rejection(openFileQueue(join(file, 'queue')))).to.be.instanceOf(QueueUnavailable);
  });

  if (process.platform === 'linux') {
    it('publish resolves only after the message was synced, in one write that is a sync', async () => {
      const { written, unsynced } = await syncsBefore(childFor(folder), { TASK: 'write-one' }, folder, 'durable');
      // What is written for locking is worth nothing after a crash.
      expect(unsynced.filter((path) => !/lock$/.test(path))).to.deep.equal([]);
      const [[file = '', calls = []] = []] = written;
      expect([...written.keys()]).to.deep.equal([join(folder, 'segments/messages-000000000001.seg')]);
      expect(
        calls.map((call) => call.replace(/\(.*/s, '')),
        file,
      ).to.deep.equal(['pwrite64']);
    });

    it('a disk that fails refuses publishes with QueueUnavailable, and keeps what it takes before and after', async () => {
      const { code, stdout, stderr } = await runTraced(
        childFor(folder),
        { TASK: 'write-all', ...ONE_THREAD },
        failingWrites,
      );
      expect(code, stderr).to.equal(0);
      const lines = stdout.trim().split('\n');
      const numbers = (what: string) => lines.flatMap((l) => (l.startsWith(what) ? [Number(l.split(' ')[1])] : []));
      expect(numbers('QUEUE_UNAVAILABLE')).to.have.length.greaterThan(0);
      expect(numbers('kept').length + numbers('QUEUE_UNAVAILABLE').length).to.equal(30);
      expect(lines.filter((line) => line.startsWith('state'))).to.deep.equal([
        'state down',
        'state up',
        'state closed',
      ]);
      const queue = await openFileQueue(folder);
      const seen: number[] = [];
      await queue.consume(async ({ body }) => void seen.push(Number(Buffer.from(body))), { prefetch: 100 });
      while ((await queue.depth()) > 0) await new Promise((resolve) => setImmediate(resolve));
      expect(seen).to.deep.equal(numbers('kept'));
      await queue.close();
    });

    it('acknowledgements that a failing disk did not take are written later: no work is done twice', async () => {
      const { code, stdout, stderr } = await runTraced(
        childFor(folder),
        { TASK: 'work-off', ...ONE_THREAD },
        failingWrites,
      );
      expect(code, stderr).to.equal(0);
      expect(stdout.trim().split('\n')).to.deep.equal(Array.from({ length: 30 }, (_, n) => `${n} 1`));
      const queue = await openFileQueue(folder);
      expect(await queue.depth()).to.equal(0);
      await queue.close();
    });
  }
});

// strace counts a thread's calls: with one thread in the pool, the fifth to seventh transaction fail.
const ONE_THREAD = { UV_THREADPOOL_SIZE: '1' };
const failingWrites = ['-e', 'trace=pwrite64', '-e', 'inject=pwrite64:error=EIO:when=5..7'];

function childFor(dir: string) {
  return { script: 'child-queue-file.ts', env: { QUEUE_DIR: dir } };
}

async function expectInUse(dir: string): Promise<void> {
  const error = await rejection(openFileQueue(dir));
  expect(error).to.be.instanceOf(QueueUnavailable);
  expect(error instanceof Error && error.cause).to.be.instanceOf(FolderInUse);
}
