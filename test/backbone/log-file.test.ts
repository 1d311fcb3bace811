import fs from 'node:fs';
import { readFile, rm } from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { join } from 'node:path';
import { expect } from 'chai';
import {
  COMMANDS_LOG_LIMITS,
  DEAD_LOG_LIMITS,
  ISOLATION_LOG_LIMITS,
  LIVE_LOG_LIMITS,
  type LogEntry,
  type LogLimits,
} from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { LogUnavailable } from '../../core/errors.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { logContract } from './log-suite.ts';
import { rejection } from './numbered.ts';
import { runTraced, syncsBefore } from './trace.ts';

logContract('file', async () => {
  const folder = await temporaryFolder();
  return {
    open: (limits) => openFileLog(folder, 'log', { ...LIVE_LOG_LIMITS, ...limits }),
    startOver: () => rm(join(folder, 'log'), { recursive: true }),
    trimming: { maxBytes: 500_000 },
    supports: { manyOpeners: false },
    child: childFor(folder),
    cleanup: () => rm(folder, { recursive: true }),
  };
});

describe('file log', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  it('logs of other names in the same folder are other logs', async () => {
    const one = await openFileLog(folder, 'one', LIVE_LOG_LIMITS);
    const two = await openFileLog(folder, 'two', LIVE_LOG_LIMITS);
    await one.append(Buffer.from('1'));
    expect(await two.read('first', 1)).to.deep.equal([]);
    await Promise.all([one.close(), two.close()]);
  });

  it('refuses a second opener with LogUnavailable', async () => {
    const one = await openFileLog(folder, 'log', LIVE_LOG_LIMITS);
    expect(await rejection(openFileLog(folder, 'log', LIVE_LOG_LIMITS))).to.be.instanceOf(LogUnavailable);
    await one.close();
  });

  it('keeps at most about maxBytes', async () => {
    const log = await openFileLog(folder, 'log', { ...LIVE_LOG_LIMITS, maxBytes: 100_000 });
    for (let n = 0; n < 100; n++) await log.append(Buffer.alloc(10_000));
    const kept = await log.read('first', 1_000);
    expect(kept.length).to.be.within(9, 11);
    await log.close();
  });

  it('keeps what is needed past its age, and past maxBytes by half of it, also while it is not known what is needed', async () => {
    let pinned: number | undefined;
    const limits = { ...LIVE_LOG_LIMITS, maxBytes: 100_000, maxAgeMs: 1, pinned: () => pinned };
    const first = await openFileLog(folder, 'log', limits);
    for (let n = 0; n < 12; n++) await first.append(Buffer.alloc(10_000));
    await first.close();
    const log = await openFileLog(folder, 'log', limits);
    expect((await log.head()).first).to.equal(0);
    pinned = 8;
    await log.append(Buffer.alloc(10_000));
    expect((await log.head()).first).to.equal(8);
    for (let n = 0; n < 20; n++) await log.append(Buffer.alloc(10_000));
    const { first: oldest, next } = await log.head();
    expect(next - oldest).to.be.within(13, 15);
    await log.close();
  });

  it('drops what is older than maxAgeMs when something is appended, and when it is opened', async () => {
    const limits = { ...LIVE_LOG_LIMITS, maxAgeMs: 100 };
    const log = await openFileLog(folder, 'log', limits);
    const old = Array.from({ length: 3_000 }, () => log.append(Buffer.from('old')));
    await Promise.all(old);
    await until('it to grow old', async () => {
      await log.append(Buffer.from('new'));
      return (await log.head()).first >= 1;
    });
    const before = await log.head();
    expect(before.next).to.be.greaterThan(3_000);
    await log.close();
    const age = Date.now();
    await until('the rest to grow old', () => Date.now() > age + 150);
    const later = await openFileLog(folder, 'log', limits);
    expect(await later.head()).to.deep.equal({ epoch: before.epoch, first: before.next, next: before.next });
    await later.append(Buffer.from('after'));
    expect((await later.read('first', 10)).map((entry) => entry.offset)).to.deep.equal([before.next]);
    await later.close();
  });

  describe('of only copies', () => {
    const DECADES = 20_000 * 86_400_000;
    const rightNow = Date.now;
    afterEach(() => {
      Date.now = rightNow;
    });
    const appended = async (limits: LogLimits, count = 1) => {
      const log = await openFileLog(folder, 'log', limits);
      for (let i = 0; i < count; i++) await log.append(Buffer.from(`entry ${i}`));
      const { first, next } = await log.head();
      await log.close();
      return { first, next };
    };

    for (const [name, limits] of Object.entries({ DEAD_LOG_LIMITS, COMMANDS_LOG_LIMITS, ISOLATION_LOG_LIMITS })) {
      it(`removes nothing because the clock is decades wrong, ahead or back, at its start or while it is open (${name})`, async () => {
        await appended(limits, 3);
        const log = await openFileLog(folder, 'log', limits);
        for (const byMs of [DECADES, -DECADES, 0]) {
          Date.now = () => rightNow() + byMs;
          for (let i = 0; i < 3; i++) await log.append(Buffer.from('new'));
        }
        expect((await log.head()).first).to.equal(0);
        await log.close();
        for (const byMs of [DECADES, -DECADES, DECADES, 0]) {
          Date.now = () => rightNow() + byMs;
          expect((await appended(limits)).first).to.equal(0);
        }
        expect((await appended(limits)).next).to.equal(17);
      });
    }

    it('removes what it has kept for maxAgeMs of the time that it was open, over restarts, whatever the clock says', async () => {
      const limits = { ...DEAD_LOG_LIMITS, maxAgeMs: 1_500 };
      await appended(limits, 500);
      Date.now = () => rightNow() - DECADES;
      for (let life = 0; life < 3; life++) {
        const log = await openFileLog(folder, 'log', limits);
        const opened = performance.now();
        await until('half an age', () => performance.now() > opened + 750);
        await log.append(Buffer.from('new'));
        await log.close();
      }
      const { first, next } = await appended(limits);
      expect(first).to.be.within(500, next - 2);
    });

    it('is trimmed by size as any other', async () => {
      const log = await openFileLog(folder, 'log', { ...DEAD_LOG_LIMITS, maxBytes: 100_000 });
      for (let n = 0; n < 100; n++) await log.append(Buffer.alloc(10_000));
      expect((await log.read('first', 1_000)).length).to.be.within(9, 11);
      await log.close();
    });
  });

  describe('a place that the disk does not give', () => {
    const { readSync } = fs;

    /** Reads go so from now on, also those of modules that have the function by its name. */
    function readBy(read: typeof fs.readSync): void {
      fs.readSync = read;
      syncBuiltinESMExports();
    }

    afterEach(() => readBy(readSync));

    it('is left out for a reader and a follower; one who wants all is refused, and gets it when the disk gives it', async () => {
      const log = await openFileLog(folder, 'log', LIVE_LOG_LIMITS);
      for (const text of ['one', 'two', 'three']) await log.append(Buffer.from(text));
      const bad = (await readFile(join(folder, 'log/segments/entries-000000000001.seg'))).indexOf('two');
      readBy((file: number, into: NodeJS.ArrayBufferView, ...where: unknown[]) => {
        const [, length, position] = where.map(Number);
        if (position !== undefined && length !== undefined && position <= bad && bad < position + length) {
          throw Object.assign(new Error('EIO: i/o error, read'), { code: 'EIO' });
        }
        return Reflect.apply(readSync, fs, [file, into, ...where]);
      });
      const textsOf = (entries: readonly LogEntry[]) => entries.map(({ body }) => Buffer.from(body).toString());
      expect(textsOf(await log.read('first', 10))).to.deep.equal(['one', 'three']);
      const followed: string[] = [];
      await log.follow('first', (entries) => void followed.push(...textsOf(entries)));
      await until('the others', () => followed.length === 2);
      expect(followed).to.deep.equal(['one', 'three']);
      expect(await rejection(log.read('first', 10, { whole: true }))).to.be.instanceOf(LogUnavailable);
      expect(textsOf(await log.read({ offset: 2 }, 10, { whole: true }))).to.deep.equal(['three']);
      readBy(readSync);
      expect(textsOf(await log.read('first', 10, { whole: true }))).to.deep.equal(['one', 'two', 'three']);
      await log.close();
    });
  });

  if (process.platform === 'linux') {
    it('append resolves only after the entry was synced, in one write that is a sync', async () => {
      const log = join(folder, 'log');
      const { written, unsynced } = await syncsBefore(childFor(folder), { TASK: 'write-one' }, log, 'durable');
      // What is written for locking is worth nothing after a crash.
      expect(unsynced.filter((path) => !/lock$/.test(path))).to.deep.equal([]);
      const [[file = '', calls = []] = []] = written;
      expect([...written.keys()]).to.deep.equal([join(log, 'segments/entries-000000000001.seg')]);
      expect(
        calls.map((call) => call.replace(/\(.*/s, '')),
        file,
      ).to.deep.equal(['pwrite64']);
    });

    it('a disk that fails refuses appends with LogUnavailable, and keeps what it takes before and after', async () => {
      const { code, stdout, stderr } = await runTraced(
        childFor(folder),
        // strace counts a thread's calls: with one thread in the pool, the fifth to seventh transaction fail.
        { TASK: 'write-all', UV_THREADPOOL_SIZE: '1' },
        ['-e', 'trace=pwrite64', '-e', 'inject=pwrite64:error=EIO:when=5..7'],
      );
      expect(code, stderr).to.equal(0);
      const lines = stdout.trim().split('\n');
      const numbers = (what: string) => lines.flatMap((l) => (l.startsWith(what) ? [Number(l.split(' ')[1])] : []));
      expect(numbers('LOG_UNAVAILABLE')).to.have.length.greaterThan(0);
      expect(lines.filter((line) => line.startsWith('state'))).to.deep.equal([
        'state down',
        'state up',
        'state closed',
      ]);
      const log = await openFileLog(folder, 'log', LIVE_LOG_LIMITS);
      const kept = await log.read('first', 100);
      expect(kept.map(({ body }) => Number(Buffer.from(body)))).to.deep.equal(numbers('kept'));
      // The offsets of what was refused are not given again.
      expect(kept.map(({ offset }) => offset)).to.deep.equal(numbers('kept'));
      await log.close();
    });
  }
});

function childFor(dir: string) {
  return { script: 'child-log-file.ts', env: { LOG_DIR: dir } };
}
