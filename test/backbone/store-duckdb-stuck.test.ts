import { mkdir, readdir, realpath } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import type { Log } from '../../backbone/ports/log.ts';
import { LogUnavailable, StoreUnavailable } from '../../core/errors.ts';
import { overlay } from '../gateway/harness.ts';
import { itIfLong, someOf } from '../services/length.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { DuckdbPlace, duckdbProcessOf, fileIn, openedUntilAfter } from './duckdb-place.ts';
import { numbered } from './store-readings.ts';
import { rejects } from './store-suite.ts';

const BATCHES = [0, 1, 2, 3, 4];

describe('DuckDB that does not go on', function () {
  this.timeout(240_000);
  const opened = openedUntilAfter();

  /** How many of the readings of these batches are not in the store. */
  async function missing(place: DuckdbPlace, batches: readonly number[]): Promise<number> {
    const there = await place.times();
    return batches.flatMap((number) => numbered(number)).filter(({ ts }) => !there.has(ts)).length;
  }

  async function stop(place: DuckdbPlace): Promise<number> {
    const id = await duckdbProcessOf(fileIn(place.folder));
    process.kill(id, 'SIGSTOP');
    return id;
  }

  it('a process that says nothing is ended, named and started again, and what was to be written meanwhile is there', async () => {
    const place = await opened(await temporaryFolder(), { mostSilentMs: 3_000 });
    await place.take(numbered(0));
    const whys: string[] = [];
    place.store.watch((state) => void (state.is === 'down' && whys.push(state.why ?? '')));
    const first = await stop(place);
    const asked = rejects(place.store.latest('north'), StoreUnavailable);
    await Promise.all([1, 2, 3, 4].map((number) => place.take(numbered(number))));
    await asked;
    // Ten times as long when it was stopped before it had answered for the first time.
    expect(whys.join()).to.match(/stuck: it said nothing for 30? s/);
    expect(await missing(place, BATCHES)).to.equal(0);
    expect(await place.events('stuck')).to.equal(1);
    expect(await place.events('restarted')).to.equal(1);
    expect(await duckdbProcessOf(fileIn(place.folder))).not.to.equal(first);
  });

  itIfLong(
    'one that is stopped again and again loses nothing, also while it writes again what the live log has',
    async () => {
      const place = await opened(await temporaryFolder(), { mostSilentMs: 2_000 });
      for (const round of BATCHES) {
        const taken = place.take(numbered(round));
        await until('a process to stop', () => stop(place));
        await taken;
      }
      // The last one may still be stopped.
      const isThere = async () => (await missing(place, BATCHES)) === 0;
      await until('all to be there', isThere, { timeoutMs: 120_000, everyMs: 200 });
      expect(await place.events('stuck')).to.be.at.least(1);
    },
  );

  itIfLong('at a stop it is waited for a shorter time', async () => {
    const folder = await temporaryFolder();
    const place = await DuckdbPlace.open(folder, { mostSilentMs: 60_000 });
    await place.take(numbered(0));
    await stop(place);
    const begun = performance.now();
    await place.close();
    expect(performance.now() - begun).to.be.below(40_000);
    expect(await missing(await opened(folder), [0])).to.equal(0);
  });

  describe('where the live log is read again', () => {
    /** As the disk gives the log while the third entry lies in a bad place, for so many readings. */
    function badFor(count: number) {
      const state = { refused: 0 };
      const over = (live: Log) =>
        overlay(live, {
          read: async (from, limit, reading) => {
            const entries = await live.read(from, limit);
            if (state.refused >= count || !entries.some(({ offset }) => offset === 2)) return entries;
            if (!reading?.whole) return entries.filter(({ offset }) => offset !== 2);
            state.refused += 1;
            throw new LogUnavailable('the log cannot be read', { cause: new Error('EIO') });
          },
        });
      return { over, state };
    }

    /** A folder with a store that has nothing of what its live log has. */
    async function emptied(): Promise<string> {
      const folder = await temporaryFolder();
      const first = await DuckdbPlace.open(folder);
      for (const number of BATCHES) await first.announce(numbered(number));
      process.kill(await duckdbProcessOf(fileIn(folder)), 'SIGKILL');
      await until('the store to be down', () => first.store.state.is === 'down');
      await first.close();
      return folder;
    }

    it('what a disk does not give for a moment is written when it gives it, and no checkpoint goes past it before', async () => {
      const { over, state } = badFor(3);
      const place = await opened(await emptied(), { over });
      expect(await missing(place, BATCHES)).to.equal(0);
      expect(state.refused).to.equal(3);
      expect(place.gaps).to.deep.equal([]);
    });

    it('what it does not give for long is left out and named, and the rest is there', async () => {
      const { over } = badFor(Number.POSITIVE_INFINITY);
      const place = await opened(await emptied(), { over, longestUnreadMs: 500 });
      expect(await missing(place, [0, 1, 3, 4])).to.equal(0);
      expect(await missing(place, [2])).to.equal(numbered(2).length);
      expect(place.gaps).to.have.length(1);
      expect(place.gaps.join()).to.contain('could not be read').and.to.contain('EIO');
    });
  });
});

describe('the path of DuckDB’s file', function () {
  this.timeout(120_000);

  for (const name of someOf(['a#b%20c d\'e"f', 'äöü😀&;:', '~\\[*]\n'], 3)) {
    it(`may have ${JSON.stringify(name)} in it: what was written is there after it is opened again`, async () => {
      const folder = join(await temporaryFolder(), name);
      const place = await DuckdbPlace.open(folder);
      await place.take(numbered(0));
      expect(await readdir(folder)).to.include('readings.duckdb.wal');
      await place.close();
      const again = await DuckdbPlace.open(folder);
      expect((await again.times()).size).to.equal(numbered(0).length);
      await again.close();
    });
  }

  it('with a question mark is refused at once, and nothing of it is made', async () => {
    const outer = await temporaryFolder();
    for (const path of [join(outer, 'a?b', 'readings.duckdb'), join(outer, 'readings?x=1.duckdb')]) {
      const error = await rejects(openDuckdbStore(path), StoreUnavailable);
      expect(error.message)
        .to.contain('question mark')
        .and.to.contain(await realpath(outer));
    }
    await mkdir(join(outer, 'c'));
    expect((await readdir(outer)).filter((name) => name.includes('.duckdb'))).to.deep.equal([]);
  });
});
