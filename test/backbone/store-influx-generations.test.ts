import { expect } from 'chai';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { ConfigInvalid, StoreRejected, StoreUnavailable } from '../../core/errors.ts';
import { type InfluxServer, influx } from '../services/influx.ts';
import { shortOrLong } from '../services/length.ts';
import { startFront } from './influx-front.ts';
import { influxAt, type NamedInflux, namedInflux } from './influx-named.ts';
import { collect, DAY, everything, HOUR, reading, SECOND, T0 } from './store-readings.ts';
import { rejects, storeContract } from './store-suite.ts';

let count = 0;
const newDatabase = () => `generation-${process.pid}-${++count}`;

// Against a real server where one is named (CONTRIBUTING.md), and in the long form against a front otherwise.
for (const generation of [2, 3] as const) {
  const named = namedInflux(generation);
  if (!named && shortOrLong(true, false)) continue;
  const version = generation === 2 ? 'v2.7.11' : '3.8.3';
  let front: Promise<NamedInflux> | undefined;
  const stub = async () => influxAt(generation, (await startFront(await influx(), { version })).address);
  storeContract(`InfluxDB ${generation}${named ? '' : ', a front'}`, async () => {
    front ??= named ? Promise.resolve(named) : stub();
    const server = await front;
    const bucket = newDatabase();
    await server.make(bucket);
    const url = server.storeUrl(bucket);
    return {
      open: () => openInfluxStore(url),
      supports: { receivedPerValue: false },
      child: { script: 'child-store.ts', env: { STORE_URL: url } },
      // It is not ours to kill.
      crash: async () => {},
      cleanup: () => server.remove(bucket),
    };
  });
}

describe('InfluxDB 2 and 3, as their makers document them', function () {
  this.timeout(60_000);
  let server: InfluxServer;
  const closing: (() => Promise<unknown>)[] = [];

  before(async () => {
    server = await influx();
  });

  afterEach(async () => {
    for (const close of closing.splice(0).reverse()) await close();
  });

  async function front(manners: Parameters<typeof startFront>[1]) {
    const started = await startFront(server, manners);
    closing.push(() => started.close());
    return started;
  }

  async function open(url: string): Promise<Store> {
    const store = await openInfluxStore(url, { probeEveryMs: 50 });
    closing.push(() => store.close());
    return store;
  }

  it('2 without its organization is refused at the start, and told what is missing', async () => {
    const { port } = await front({ version: 'v2.7.11' });
    const error = await rejects(openInfluxStore(`influx://127.0.0.1:${port}/b?token=t`), ConfigInvalid);
    expect(error.message)
      .to.match(/org=/)
      .and.not.match(/token=t\b/);
  });

  it('2 without the bucket is refused at the start, with what to do', async () => {
    const { storeUrl } = await front({ version: 'v2.7.11' });
    const error = await rejects(openInfluxStore(storeUrl(newDatabase())), StoreUnavailable);
    expect(error.message).to.match(/no such bucket.*make it/);
  });

  it('2 is written and read, and its refusals are understood', async () => {
    const { storeUrl } = await front({ version: 'v2.7.11' });
    const database = newDatabase();
    await server.createDatabase(database);
    const store = await open(storeUrl(database));
    const foreign = `readings,farm=north,sensor=s kind="text" ${T0}`;
    await fetch(`${server.url}/write?db=${database}&precision=ms`, { method: 'POST', body: foreign });
    await store.write([reading(T0, { m: 1 })]);
    const refusal = await rejects(store.write([reading(T0, { n: 1 }), reading(T0, { kind: 1 })]), StoreRejected);
    expect(refusal).to.have.deep.property('suspects', [1]);
    expect(await everything(store)).to.deep.include([T0, 'm', 1]);
  });

  it('a token that is not accepted is told in plain words', async () => {
    const { storeUrl } = await front({ version: 'v2.7.11' });
    const url = storeUrl(newDatabase()).replace('token=t', 'token=expired');
    const error = await rejects(openInfluxStore(url), StoreUnavailable);
    expect(error.message)
      .to.match(/token .* wrong, has expired, or is missing/)
      .and.not.match(/token=/);
  });

  for (const inBody of [true, false]) {
    it(`3 is asked one statement at a time, its version being in the ${inBody ? 'body' : 'header'}`, async () => {
      const { storeUrl, asked } = await front({ version: inBody ? '3.0.1' : '3.8.3', inBody });
      const store = await open(storeUrl(newDatabase()));
      expect(await store.latest('north', ['s'])).to.deep.equal([]);
      await store.write([reading(T0, { m: 1, n: 2 }), reading(T0 + SECOND, { m: 3 })]);
      const latest = await store.latest('north', ['s']);
      expect(latest.map(({ metric, value, ts }) => [metric, value, ts])).to.have.deep.members([
        ['m', 3, T0 + SECOND],
        ['n', 2, T0],
      ]);
      const query = { farm: 'north', sensors: ['s'], metric: 'm', from: T0, to: T0 + HOUR };
      const [bucket] = await store.history({ ...query, bucket: { ms: HOUR } });
      expect(bucket).to.include({ count: 2, mean: 2, last: 3 });
      expect(await store.history({ ...query, bucket: { daysIn: 'UTC' } })).to.have.length(1);
      expect(asked.every((q) => !/; SELECT/.test(q))).to.equal(true);
    });
  }

  it('3 names the lines that it refuses: only those are suspects', async () => {
    const { storeUrl } = await front({ version: '3.8.3' });
    const database = newDatabase();
    const store = await open(storeUrl(database));
    await store.write([reading(T0, { m: 1 })]);
    const foreign = `readings,farm=north,sensor=s kind="text" ${T0}`;
    await fetch(`${server.url}/write?db=${database}&precision=ms`, { method: 'POST', body: foreign });
    const some = [reading(T0, { m: 1 }), reading(T0 + 1, { kind: 1 }), reading(T0 + 2, { m: 2 })];
    const refusal = await rejects(store.write(some), StoreRejected);
    expect(refusal).to.have.deep.property('suspects', [1]);
  });

  describe('3 that reads only so many files for a query', () => {
    const DAYS = 40;
    let store: Store;
    let asked: string[];

    beforeEach(async () => {
      const limited = await front({ version: '3.8.3', mostMs: 3 * DAY });
      asked = limited.asked;
      store = await open(limited.storeUrl(newDatabase()));
      const hours = Array.from({ length: DAYS * 24 }, (_, i) => reading(T0 + i * HOUR, { m: i, n: 1 }));
      await store.write([...hours, reading(T0, { m: 7 }, { sensor: 'early' })]);
    });

    it('is asked for the newest values in as many parts as it takes', async () => {
      const latest = await store.latest('north', ['s', 'early']);
      expect(latest.map(({ sensor, metric, value }) => [sensor, metric, value])).to.have.deep.members([
        ['s', 'm', DAYS * 24 - 1],
        ['s', 'n', 1],
        ['early', 'm', 7],
      ]);
      const unbounded = asked.filter((q) => q.startsWith('SELECT') && !/time >= \d+ms AND time < \d+ms/.test(q));
      expect(unbounded).to.deep.equal([]);
    });

    it('is asked for a long export in parts, in order of time', async () => {
      const range = { from: T0 - 1_000 * DAY, to: T0 + 1_000 * DAY };
      const values = await collect(store.export({ farm: 'north', sensors: ['s'], metrics: ['m'], ...range }));
      expect(values.map(({ value }) => value)).to.deep.equal(Array.from({ length: DAYS * 24 }, (_, i) => i));
    });

    it('is asked for a long history bucket by bucket, in days too', async () => {
      const query = { farm: 'north', sensors: ['s'], metric: 'm', from: T0, to: T0 + DAYS * DAY };
      const buckets = await store.history({ ...query, bucket: { ms: 6 * HOUR } });
      expect(buckets.map(({ count }) => count)).to.deep.equal(Array.from({ length: DAYS * 4 }, () => 6));
      const days = await store.history({ ...query, from: 0, bucket: { daysIn: 'Europe/Berlin' } });
      expect(days.reduce((sum, { count }) => sum + count, 0)).to.equal(DAYS * 24);
    });

    it('says in plain words that a bucket is too wide', async () => {
      const query = { farm: 'north', sensors: ['s'], metric: 'm', from: T0, to: T0 + DAYS * DAY };
      const error = await rejects(store.history({ ...query, bucket: { ms: 30 * DAY } }), StoreUnavailable);
      expect(error.message).to.match(/bucket of 720 hours .* query-file-limit/);
    });
  });
});
