import { randomBytes } from 'node:crypto';
import { cp, open, readFile, rename, rm, stat, truncate, writeFile } from 'node:fs/promises';
import { basename, join } from 'node:path';
import { expect } from 'chai';
import { LogUnavailable, StoreUnavailable } from '../../core/errors.ts';
import { overlay } from '../gateway/harness.ts';
import { shortOrLong, someOf } from '../services/length.ts';
import { output } from '../services/process.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { startChild } from './child-process.ts';
import { DuckdbPlace, duckdbProcessOf, fileIn, openedUntilAfter, type PlaceOptions } from './duckdb-place.ts';
import { numbered, reading, seeded, T0 } from './store-readings.ts';
import { rejects } from './store-suite.ts';

/** The times of the readings of batches that are not in the store. */
async function missing(place: DuckdbPlace, numbers: Iterable<number>): Promise<number[]> {
  const there = await place.times();
  return [...numbers].flatMap((number) => numbered(number)).flatMap(({ ts }) => (there.has(ts) ? [] : [ts]));
}

const writer = (folder: string) => ({ script: 'child-duckdb.ts', env: { FOLDER: folder } });

/** A process that takes batches into `folder` and is killed after some; resolves to those that it acknowledged. */
async function writeAndKill(folder: string, count: number): Promise<number[]> {
  const child = await startChild(writer(folder));
  await until('some batches', () => child.lines().length >= count, { timeoutMs: 120_000 });
  await child.kill();
  return child.lines().map(Number);
}

/** Overwrites bytes of a file. */
async function garble(path: string, at: number, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+');
  try {
    await file.write(bytes, 0, bytes.length, at);
  } finally {
    await file.close();
  }
}

describe('DuckDB in a process of its own', function () {
  this.timeout(240_000);
  const opened = openedUntilAfter();

  describe('whatever became of its own log', () => {
    /** Folders of a process that was killed under load, and what it had acknowledged. */
    let killed: string;
    let acknowledged: number[];

    before(async () => {
      killed = await temporaryFolder();
      acknowledged = await writeAndKill(killed, 40);
    });

    const cuts = Array.from({ length: 12 }, (_, i) => [
      `cut to ${i}/12 of its length`,
      async (wal: string) => truncate(wal, Math.floor(((await stat(wal)).size * i) / 12)),
    ]) satisfies [string, (wal: string) => Promise<void>][];
    const damages: [string, (wal: string) => Promise<void>][] = [
      ['untouched', async () => {}],
      ...cuts,
      ['without its last 7 bytes', async (wal) => truncate(wal, (await stat(wal)).size - 7)],
      ['with zeros behind it', async (wal) => writeFile(wal, new Uint8Array(65_536), { flag: 'a' })],
      ['with random bytes behind it', async (wal) => writeFile(wal, randomBytes(4_096), { flag: 'a' })],
      ['garbled at its beginning', (wal) => garble(wal, 0, randomBytes(64))],
      ['garbled at its 100th byte', (wal) => garble(wal, 100, randomBytes(4))],
      ['garbled in the middle', async (wal) => garble(wal, (await stat(wal)).size >> 1, randomBytes(64))],
      ['all random bytes', async (wal) => writeFile(wal, randomBytes((await stat(wal)).size))],
      ['gone', (wal) => rm(wal)],
    ];

    for (const [name, damage] of someOf(damages, 4)) {
      it(`every reading that was acknowledged is there: ${name}`, async () => {
        const folder = await temporaryFolder();
        // Without a lock of an earlier version's kind, a socket.
        await cp(killed, folder, { recursive: true, filter: (path) => basename(path) !== 'lock' });
        await damage(`${fileIn(folder)}.wal`);
        const place = await opened(folder);
        expect(await missing(place, [...acknowledged, 1_000_000])).to.deep.equal([]);
        expect(await place.events('rewritten')).to.be.greaterThan(0);
        expect(place.gaps).to.deep.equal([]);
      });
    }
  });

  it('killed under load it comes back again and again, and everything that was acknowledged is there', async () => {
    const folder = await temporaryFolder();
    const place = await opened(folder);
    const acknowledged: number[] = [];
    let next = 0;
    let isOver = false;
    const lane = async () => {
      while (!isOver) {
        const number = next++;
        await place.take(numbered(number));
        acknowledged.push(number);
      }
    };
    const lanes = Promise.all(Array.from({ length: 4 }, lane));
    for (const withoutWal of [false, true, true]) {
      const before = acknowledged.length;
      await until('twenty more', () => acknowledged.length > before + 20, { timeoutMs: 60_000 });
      await place.crash({ withoutWal });
      await rejects(place.store.latest('north'), StoreUnavailable);
      await place.up();
    }
    isOver = true;
    await lanes;
    expect(await missing(place, acknowledged)).to.deep.equal([]);
    expect(await place.events('restarted')).to.be.at.least(3);
    expect(await place.events('rewritten')).to.be.greaterThan(0);
  });

  it('a checkpoint never stands behind an entry whose readings it does not have', async () => {
    const folder = await temporaryFolder();
    let meanwhile = async () => {};
    // While a checkpoint asks for the end of the log, another entry comes.
    const over: PlaceOptions['over'] = (live) =>
      overlay(live, {
        head: async () => {
          const hook = meanwhile;
          meanwhile = async () => {};
          await hook();
          return await live.head();
        },
      });
    const place = await opened(folder, { over });
    await place.take(numbered(1));
    let end: (() => void) | undefined;
    meanwhile = async () => {
      end = place.store.announcing?.();
      await place.announce(numbered(2));
    };
    await place.write(numbered(3), { checkpointed: true });
    await place.write(numbered(2));
    end?.();
    await place.crash({ withoutWal: true });
    expect(await missing(place, [1, 2, 3])).to.deep.equal([]);
  });

  it('a write that is not announced resolves when a checkpoint has it', async () => {
    const folder = await temporaryFolder();
    const place = await opened(folder);
    const imports = Array.from({ length: 6 }, (_, number) =>
      place.store.write(numbered(number), { checkpointed: true }),
    );
    await Promise.all(imports);
    await place.crash({ withoutWal: true });
    expect(await missing(place, [0, 1, 2, 3, 4, 5])).to.deep.equal([]);
    expect(await place.events('rewritten')).to.equal(0);
  });

  it('after a stop nothing is written again, and the log is needed from its end on', async () => {
    const folder = await temporaryFolder();
    const first = await DuckdbPlace.open(folder);
    for (let number = 0; number < 5; number += 1) await first.take(numbered(number));
    await first.close();
    const place = await opened(folder);
    expect(await missing(place, [0, 1, 2, 3, 4])).to.deep.equal([]);
    expect(await place.events('rewritten')).to.equal(0);
    expect(place.neededFrom).to.equal((await place.live.head()).next);
  });

  it('what the log lost while it was needed is said, and DuckDB’s own log is used as far as it goes', async () => {
    const folder = await temporaryFolder();
    const acknowledged = await writeAndKill(folder, 30);
    await rm(join(folder, 'log'), { recursive: true });
    const place = await opened(folder);
    expect(await missing(place, acknowledged)).to.deep.equal([]);
    expect(place.gaps).to.have.length(1);
  });

  it('what was trimmed from the log while it was needed is said, and the rest is written again', async () => {
    const folder = await temporaryFolder();
    const place = await opened(folder, { maxBytes: 20_000 });
    for (let number = 0; number < 60; number += 1) await place.take(numbered(number));
    const { first, next } = await place.live.head();
    expect(first).to.be.within(1, next - 5);
    await place.crash({ withoutWal: true });
    expect(await missing(place, [57, 58, 59])).to.deep.equal([]);
    expect(place.gaps).to.have.length(1);
  });

  it('a file that is gone is made anew, and gets what the log has', async () => {
    const folder = await temporaryFolder();
    const first = await DuckdbPlace.open(folder);
    for (let number = 0; number < 5; number += 1) await first.take(numbered(number));
    await first.close();
    await rm(fileIn(folder));
    const place = await opened(folder);
    expect(await missing(place, [0, 1, 2, 3, 4])).to.deep.equal([]);
    expect(await place.events('rewritten')).to.equal(50);
  });

  it('a new file whose first run is ended before it had everything is filled from the beginning of the live log', async () => {
    const folder = await temporaryFolder();
    const first = await DuckdbPlace.open(folder);
    for (let number = 0; number < 5; number += 1) await first.take(numbered(number));
    await first.close();
    await rm(fileIn(folder));
    // Of its first two runs, neither gets what the log has.
    let refused = 0;
    const place = await opened(folder, {
      over: (live) =>
        overlay(live, {
          read: async (from, limit) => {
            if (refused === 2) return await live.read(from, limit);
            refused += 1;
            throw new LogUnavailable('not now');
          },
        }),
    });
    expect(await missing(place, [0, 1, 2, 3, 4])).to.deep.equal([]);
    expect(refused).to.equal(2);
  });

  const wrecks: [string, (file: string) => Promise<void>][] = [
    ['its beginning', (file: string) => garble(file, 0, randomBytes(4_096))],
    ['its blocks', async (file: string) => garble(file, 12_288, randomBytes((await stat(file)).size - 12_288))],
    ['all of it: it is empty', (file: string) => truncate(file, 0)],
  ];
  for (const [name, damage] of shortOrLong(wrecks.slice(0, 1), wrecks)) {
    it(`a file that is damaged at ${name} is named, and nothing is done to it; another one is taken without a restart`, async () => {
      const folder = await temporaryFolder();
      const file = fileIn(folder);
      const first = await DuckdbPlace.open(folder);
      for (let number = 0; number < 5; number += 1) await first.take(numbered(number));
      await first.close();
      await damage(file);
      const place = await opened(folder);
      await until('it to be down', async () => {
        if (place.store.state.is !== 'down') await place.store.latest('north').catch(() => {});
        return place.store.state.is === 'down';
      });
      const { state } = place.store;
      expect(state.is === 'down' && state.why).to.contain(`${file} is damaged`);
      const damaged = await readFile(file);
      await rejects(place.store.write(numbered(6)), StoreUnavailable);
      await rejects(place.store.latest('north'), StoreUnavailable);
      expect(await readFile(file)).to.deep.equal(damaged);
      await rename(file, `${file}.damaged`);
      expect(await missing(place, [0, 1, 2, 3, 4])).to.deep.equal([]);
    });
  }

  it('a block that is damaged is named when a question meets it, and the store is not opened again with it', async () => {
    const folder = await temporaryFolder();
    const file = fileIn(folder);
    const first = await DuckdbPlace.open(folder);
    const values = seeded(1);
    const many = Array.from({ length: 100_000 }, (_, i) => reading(T0 + i, { a: values(), b: values() }));
    await first.store.write(many, { checkpointed: true });
    await first.close();
    const { size } = await stat(file);
    await garble(file, size >> 1, randomBytes(4_096));
    const place = await opened(folder);
    expect(place.store.state.is).to.equal('up');
    const down = new Promise((resolve) => place.store.watch(resolve));
    await rejects(place.store.latest('north'), StoreUnavailable);
    await down;
    expect(place.store.state.is === 'down' && place.store.state.why).to.contain(`${file} is damaged`);
    expect(await place.events('restarted')).to.equal(0);
  });

  it('when it can write nothing more it is away for that long, and everything that was acknowledged is there', async () => {
    const folder = await temporaryFolder();
    const place = await opened(folder);
    await place.take(numbered(0));
    // No file may grow: as on a full disk, a write is refused by the system.
    await output('prlimit', ['--pid', String(await duckdbProcessOf(fileIn(folder))), '--fsize=0']);
    await rejects(place.store.write(numbered(1)), StoreUnavailable);
    await Promise.all([place.take(numbered(1)), place.take(numbered(2))]);
    expect(await missing(place, [0, 1, 2])).to.deep.equal([]);
    expect(await place.events('restarted')).to.be.at.least(1);
  });

  it('it ends with its owner, however that ends, and not by a signal of the terminal', async () => {
    const folder = await temporaryFolder();
    const child = await startChild(writer(folder));
    await until('a batch', () => child.lines().length > 0, { timeoutMs: 120_000 });
    const id = await duckdbProcessOf(fileIn(folder));
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.kill(id, signal);
    const before = child.lines().length;
    await child.printed(before + 10);
    expect(await duckdbProcessOf(fileIn(folder))).to.equal(id);
    await child.kill();
    await until('its end', async () => {
      const ids = await duckdbProcessOf(fileIn(folder)).catch(() => undefined);
      return ids === undefined;
    });
  });
});
