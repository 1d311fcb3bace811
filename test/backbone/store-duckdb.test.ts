import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { DuckDBInstance } from '@duckdb/node-api';
import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { shortOrLong } from '../services/length.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { startChild } from './child-process.ts';
import { duckdbProcessOf } from './duckdb-place.ts';
import { everything, HOUR, numbered, reading, SECOND, T0 } from './store-readings.ts';
import { rejects, storeContract } from './store-suite.ts';
import { runTraced, syncsBefore } from './trace.ts';

const child = (file: string) => ({ script: 'child-store.ts', env: { STORE_URL: `duckdb:${file}` } });
const newFile = async () => join(await temporaryFolder(), 'deep', 'store.duckdb');

storeContract('DuckDB', async () => {
  const file = await newFile();
  return {
    open: () => openDuckdbStore(file),
    supports: { receivedPerValue: true },
    child: child(file),
    crash: async () => {},
    cleanup: async () => {},
  };
});

describe('DuckDB: the store', function () {
  this.timeout(120_000);

  it('has on disk, not only in the page cache, what it confirmed', async () => {
    const folder = await temporaryFolder();
    const { written, unsynced } = await syncsBefore(
      child(join(folder, 'store.duckdb')),
      { TASK: 'write-one' },
      folder,
      'durable',
    );
    expect([...written.keys()]).to.include(join(folder, 'store.duckdb.wal'));
    // The lock holds whatever its file says: the text in it is for people.
    expect(unsynced.filter((path) => path !== join(folder, 'store.duckdb.lock'))).to.deep.equal([]);
  });

  it('a file that another process or this one has open is unavailable until it is closed', async () => {
    const file = await newFile();
    const other = await startChild(child(file), { TASK: 'write' });
    await other.printed(1);
    const refusal = await rejects(openDuckdbStore(file), StoreUnavailable);
    expect(refusal.cause).to.be.instanceOf(Error);
    await other.kill();
    const store = await openDuckdbStore(file);
    await rejects(openDuckdbStore(file), StoreUnavailable);
    await store.close();
    await (await openDuckdbStore(file)).close();
  });

  it('a file that cannot be made is unavailable; one that is something else is named, and is left as it is', async () => {
    const folder = await temporaryFolder();
    const text = join(folder, 'notes.txt');
    const notes = 'this is no database, and long enough for anyone to see that it is none'.repeat(100);
    await writeFile(text, notes);
    await rejects(openDuckdbStore(join(text, 'store.duckdb')), StoreUnavailable);
    await rejects(openDuckdbStore(folder), StoreUnavailable);
    const store = await openDuckdbStore(text);
    expect(store.state.is === 'down' && store.state.why).to.contain(`${text} is damaged`);
    await rejects(store.latest('north'), StoreUnavailable);
    await store.close();
    expect(await readFile(text, 'utf8')).to.equal(notes);
  });

  it('a process that ends without closing ends at once and loses nothing', async () => {
    const file = await newFile();
    const other = await startChild(child(file), { TASK: 'forget' });
    expect(await other.ended).to.equal(0);
    const store = await openDuckdbStore(file);
    expect(await everything(store)).to.have.length(20);
    await store.close();
  });

  it('comes back when its process is killed: calls reject with StoreUnavailable meanwhile, and nothing confirmed is lost', async () => {
    const file = await newFile();
    const store = await openDuckdbStore(file);
    const states: string[] = [];
    store.watch(({ is }) => states.push(is));
    for (let life = 0; life < 3; life += 1) {
      await store.write(numbered(life));
      process.kill(await duckdbProcessOf(file), 'SIGSTOP');
      const calls = [store.latest('north'), store.write(numbered(100)), everything(store)];
      process.kill(await duckdbProcessOf(file), 'SIGKILL');
      await Promise.all(calls.map((call) => rejects(call, StoreUnavailable)));
      expect(store.state.is).to.equal('down');
      await rejects(store.write(numbered(100)), StoreUnavailable);
      await until('the store to be up', () => store.state.is === 'up');
      const there = new Set((await everything(store)).map(([ts]) => ts));
      const confirmed = Array.from({ length: life + 1 }, (_, i) => numbered(i)).flat();
      expect(confirmed.filter(({ ts }) => !there.has(ts))).to.deep.equal([]);
    }
    expect(states).to.deep.equal(['down', 'up', 'down', 'up', 'down', 'up']);
    await store.close();
  });

  const faults = ['fsync:error=EIO:when=8', 'write:error=EIO:when=5', 'write:error=ENOSPC:when=5'];
  for (const fault of shortOrLong(faults.slice(0, 1), faults)) {
    it(`a disk that fails (${fault}) is unavailable for that write; the database is opened anew and the write repeated`, async () => {
      const file = await newFile();
      // Of each process, and only where it is about DuckDB's own log.
      const failing = ['-P', `${file}.wal`, '-e', 'trace=fsync,write', '-e', `inject=${fault}`];
      const { stdout, code } = await runTraced(child(file), { TASK: 'insist' }, failing);
      expect(code).to.equal(0);
      const lines = stdout.trim().split('\n');
      expect(lines.filter((line) => line.endsWith('unavailable'))).to.have.length.of.at.least(1);
      expect(lines.filter((line) => line.endsWith('durable'))).to.have.length(10);
      const store = await openDuckdbStore(file);
      expect(await everything(store)).to.have.length(200);
      await store.close();
    });
  }

  it('the latest write wins across checkpoints and restarts', async () => {
    const file = await newFile();
    const count = 5_000;
    // Enough for the log to be folded into the file several times.
    for (let round = 0; round < shortOrLong(2, 4); round += 1) {
      const store = await openDuckdbStore(file);
      for (let again = 0; again < 12; again += 1) {
        const value = round * 100 + again;
        await store.write(
          Array.from({ length: count }, (_, i) => reading(T0 + i, { a: value, b: value, c: value, d: value })),
        );
      }
      const expected = round * 100 + 11;
      for (const metric of ['a', 'd']) {
        const [bucket] = await store.history({
          farm: 'north',
          sensors: ['s'],
          metric,
          from: T0,
          to: T0 + HOUR,
          bucket: { ms: HOUR },
        });
        expect(bucket).to.deep.include({ ts: T0, last: expected, min: expected, max: expected, mean: expected, count });
      }
      expect((await store.latest('north')).map(({ value }) => value)).to.deep.equal([
        expected,
        expected,
        expected,
        expected,
      ]);
      await store.close();
    }
  });

  it('a file of the last version is read as it is, and takes instants', async () => {
    const file = await newFile();
    await mkdir(dirname(file), { recursive: true });
    const instance = await DuckDBInstance.create(file);
    const connection = await instance.connect();
    await connection.run(`
      CREATE TABLE IF NOT EXISTS readings (
        farm VARCHAR NOT NULL, sensor VARCHAR NOT NULL, metric VARCHAR NOT NULL,
        ts BIGINT NOT NULL, value DOUBLE NOT NULL, received BIGINT NOT NULL
      )`);
    const row = (ts: number, value: number) => `('north', 's', 'm', ${ts}, ${value}, ${ts + SECOND})`;
    await connection.run(`INSERT INTO readings VALUES ${row(T0, 1)}, ${row(T0 + 1, 2)}, ${row(T0, 3)}`);
    connection.closeSync();
    instance.closeSync();

    let store = await openDuckdbStore(file);
    const old = [
      [T0, 'm', 3],
      [T0 + 1, 'm', 2],
    ];
    expect(await everything(store)).to.deep.equal(old);
    const latest = { sensor: 's', metric: 'm', ts: T0 + 1, value: 2, received: T0 + 1 + SECOND };
    expect(await store.latest('north')).to.deep.equal([latest]);
    const query = { farm: 'north', sensors: ['s'], metric: 'm', from: T0, to: T0 + HOUR, bucket: { ms: HOUR } };
    const bucket = { ts: T0, last: 2, min: 2, max: 3, mean: 2.5, count: 2, received: T0 + 1 + SECOND };
    expect(await store.history(query)).to.deep.equal([bucket]);

    await store.write([reading(T0 + 1, { m: 4 }), reading(T0 + 0.001, { m: 5 })]);
    for (const again of [false, true]) {
      if (again) {
        await store.close();
        store = await openDuckdbStore(file);
      }
      expect(await everything(store)).to.deep.equal([
        [T0, 'm', 3],
        [T0 + 0.001, 'm', 5],
        [T0 + 1, 'm', 4],
      ]);
    }
    await store.close();
  });

  it('sorts on disk what does not fit its memory', async () => {
    const store = await openDuckdbStore(await newFile(), { memoryLimitMb: 64 });
    const count = 400_000;
    for (let from = 0; from < count; from += 20_000) {
      await store.write(
        Array.from({ length: 20_000 }, (_, i) => reading(T0 + (((from + i) * 7919) % count), { a: i, b: i })),
      );
    }
    let seen = 0;
    let before = 0;
    for await (const { ts } of store.export({ farm: 'north', sensors: ['s'], from: T0, to: T0 + count })) {
      if (ts < before) throw new Error('out of order');
      before = ts;
      seen += 1;
    }
    expect(seen).to.equal(2 * count);
    await store.close();
  });
});
