import { expect } from 'chai';
import { type InfluxOptions, openInfluxStore } from '../../backbone/influx/store.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { ConfigInvalid, StoreRejected, StoreUnavailable } from '../../core/errors.ts';
import { startHttpProxy } from '../services/http-proxy.ts';
import { type InfluxServer, startInflux } from '../services/influx.ts';
import { startProxy } from '../services/proxy.ts';
import { freePort, temporaryFolder, until } from '../services/wait.ts';
import { listening } from '../workers/bench.ts';
import { startGuardedInflux } from './influx-with-users.ts';
import { collect, DAY, everything, HOUR, numbered, reading, SECOND, T0 } from './store-readings.ts';
import { rejects, storeContract } from './store-suite.ts';
import { syncsBefore } from './trace.ts';

// A server of this file's own, for it is killed.
let own: Promise<InfluxServer> | undefined;
const server = () => (own ??= startInflux());

let count = 0;
const newDatabase = () => `store-${++count}`;

storeContract('InfluxDB', async () => {
  const influx = await server();
  const database = newDatabase();
  const url = influx.storeUrl(database);
  return {
    open: () => openInfluxStore(url),
    supports: { receivedPerValue: false },
    child: { script: 'child-store.ts', env: { STORE_URL: url } },
    crash: async () => {
      await influx.kill();
      await influx.start();
    },
    cleanup: async () => {
      await influx.query('', `DROP DATABASE "${database}"`);
    },
  };
});

describe('InfluxDB: the store', function () {
  this.timeout(120_000);
  const opened: Store[] = [];

  afterEach(async () => {
    await Promise.all(opened.splice(0).map((store) => store.close()));
  });

  async function open(url: string, options?: InfluxOptions): Promise<Store> {
    const store = await openInfluxStore(url, options);
    opened.push(store);
    return store;
  }

  const through = (port: number) => `influx://127.0.0.1:${port}/${newDatabase()}`;

  it('the server has on disk, not only in the page cache, what it confirmed', async () => {
    const folder = await temporaryFolder();
    const child = { script: 'child-store-influxd.ts', env: { TMPDIR: folder } };
    const { written, unsynced } = await syncsBefore(child, {}, folder, 'durable');
    const inLog = (path: string) => path.includes('/wal/');
    expect([...written.keys()].filter(inLog)).to.have.length.of.at.least(1);
    expect(unsynced.filter(inLog)).to.deep.equal([]);
  });

  it('makes a database that is missing and takes one that is there', async () => {
    const influx = await server();
    const name = 'näme with "quotes" & more';
    const url = influx.storeUrl(name);
    await (await open(url)).write(numbered(1));
    expect(await everything(await open(url))).to.have.length(20);
    expect(JSON.stringify(await influx.query('', 'SHOW DATABASES'))).to.include(JSON.stringify(name));
  });

  it('points that the last version wrote, in ms, are read as they are and keep their places', async () => {
    const influx = await server();
    const database = newDatabase();
    const store = await open(influx.storeUrl(database));
    const line = (ts: number, value: number) => `readings,farm=north,sensor=s m=${value},received=${ts + SECOND} ${ts}`;
    const body = [line(T0, 1), line(T0 + 1, 2)].join('\n');
    const written = await fetch(`${influx.url}/write?db=${database}&precision=ms`, { method: 'POST', body });
    expect(written.status).to.equal(204);
    await store.write([reading(T0 + 1, { m: 4 }), reading(T0 + 0.001, { m: 5 })]);
    expect(await everything(store)).to.deep.equal([
      [T0, 'm', 1],
      [T0 + 0.001, 'm', 5],
      [T0 + 1, 'm', 4],
    ]);
  });

  it('is unavailable when nobody listens, and a wrong address is refused without its secrets', async () => {
    await rejects(openInfluxStore(through(await freePort())), StoreUnavailable);
    for (const url of ['influx://u:secret@host', 'influx://u:secret@/db', 'http://u:secret@host/db', 'secret']) {
      const error = await rejects(openInfluxStore(url), ConfigInvalid);
      expect(error.message).not.to.include('secret');
    }
  });

  it('while cut off rejects with StoreUnavailable and is down; restored, it comes up by itself and works', async () => {
    const proxy = await startProxy((await server()).port);
    const store = await open(through(proxy.port), { probeEveryMs: 50 });
    const states: string[] = [];
    // Each new reason is told, too.
    store.watch(({ is }) => {
      if (states.at(-1) !== is) states.push(is);
    });
    await store.write(numbered(1));
    proxy.cut();
    await rejects(store.write(numbered(2)), StoreUnavailable);
    await rejects(store.latest('north'), StoreUnavailable);
    await rejects(everything(store), StoreUnavailable);
    const query = { farm: 'north', sensors: ['s'], metric: 'i', from: T0, to: T0 + HOUR, bucket: { ms: SECOND } };
    await rejects(store.history(query), StoreUnavailable);
    expect(store.state).to.include({ is: 'down' });
    expect(await store.history({ ...query, sensors: [] })).to.deep.equal([]);
    expect(store.state).to.include({ is: 'down' });
    proxy.restore();
    await until('the store to be up', () => store.state.is === 'up');
    await store.write(numbered(2));
    expect(await everything(store)).to.have.length(40);
    expect(states).to.deep.equal(['down', 'up']);
    await store.close();
    await proxy.close();
  });

  it('a server that hangs is unavailable after a bounded time, and no request stays behind', async () => {
    const proxy = await startProxy((await server()).port);
    const limits = { writeTimeoutMs: 2_000, readTimeoutMs: 2_000, probeEveryMs: 50 };
    const store = await open(through(proxy.port), limits);
    await store.write(Array.from({ length: 5_000 }, (_, i) => reading(T0 + i, { m: i })));
    proxy.freeze();
    const begun = Date.now();
    const writes = [2, 3, 4].map((number) => rejects(store.write(numbered(number)), StoreUnavailable));
    await Promise.all([...writes, rejects(store.latest('north'), StoreUnavailable)]);
    expect(Date.now() - begun).to.be.below(8_000);
    expect(store.state.is).to.equal('down');
    proxy.thaw();
    await until('the store to be up', () => store.state.is === 'up');
    await store.write(numbered(2));
    expect((await everything(store)).length).to.be.at.least(20);
    await store.close();
    await proxy.close();
  });

  it('an export that is cut off throws StoreUnavailable instead of ending early', async () => {
    const proxy = await startProxy((await server()).port);
    const store = await open(through(proxy.port), { readTimeoutMs: 2_000 });
    for (let from = 0; from < 100_000; from += 20_000) {
      await store.write(Array.from({ length: 20_000 }, (_, i) => reading(T0 + from + i, { m: i, n: i })));
    }
    let seen = 0;
    const loop = async () => {
      for await (const _ of store.export({ farm: 'north', sensors: ['s'], from: T0, to: T0 + HOUR })) {
        if (++seen === 10) proxy.cut();
      }
    };
    await rejects(loop(), StoreUnavailable);
    expect(seen).to.be.below(200_000);
    expect(store.state.is).to.equal('down');
    await store.close();
    await proxy.close();
  });

  it('readings that its fields do not take are rejected for good, and the store stays up', async () => {
    const influx = await server();
    const database = newDatabase();
    const store = await open(influx.storeUrl(database));
    const foreign = `readings,farm=north,sensor=s m=1i ${T0 * 1e6}`;
    await fetch(`${influx.url}/write?db=${database}`, { method: 'POST', body: foreign });
    await rejects(store.write([reading(T0, { m: 1.5 })]), StoreRejected);
    expect(store.state.is).to.equal('up');
    await store.write([reading(T0, { n: 1.5 })]);
  });

  it('a database that was dropped is an outage, not the fault of readings, until it was made again', async () => {
    const influx = await server();
    const database = newDatabase();
    const { log, lines } = listening();
    const store = await open(influx.storeUrl(database), { probeEveryMs: 50, log });
    await influx.query('', `DROP DATABASE "${database}"`);
    const refusal = await rejects(store.write(numbered(1)), StoreUnavailable);
    expect(refusal.message).to.match(/has no database or bucket store-/);
    await until('the store to be up', () => store.state.is === 'up');
    await store.write(numbered(1));
    expect(await collect(store.export({ farm: 'north', sensors: ['s'], from: T0, to: T0 + HOUR }))).to.have.length(20);
    expect(lines.filter((line) => line.includes('store_database_made'))).to.have.length(1);
  });

  it('a database that was dropped and may not be made is named, with why, and used when somebody makes it', async () => {
    const influx = await startGuardedInflux();
    await influx.query('CREATE DATABASE narrow');
    await influx.query(`CREATE USER loam WITH PASSWORD 'p'`);
    await influx.query('GRANT ALL ON narrow TO loam');
    const store = await open(`influx://loam:p@127.0.0.1:${influx.port}/narrow`, { probeEveryMs: 50 });
    await store.write(numbered(1));
    await influx.query('DROP DATABASE narrow');
    await rejects(store.write(numbered(2)), StoreUnavailable);
    const why = () => (store.state.is === 'down' ? store.state.why : '');
    await until('it is said', () => /narrow cannot be used.*may not/.test(why()));
    await influx.query('CREATE DATABASE narrow');
    await influx.query('GRANT ALL ON narrow TO loam');
    await until('the store to be up', () => store.state.is === 'up');
    await store.write(numbered(2));
  });

  it('is down for the reason of now, not for the first', async () => {
    const proxy = await startHttpProxy((await server()).port);
    const store = await open(through(proxy.port), { probeEveryMs: 50 });
    const why = () => (store.state.is === 'down' ? store.state.why : '');
    proxy.set(() => ({ status: 503, body: 'starting' }));
    await rejects(store.latest('north'), StoreUnavailable);
    expect(why()).to.contain('starting');
    proxy.set(() => ({ status: 401, body: '{"error":"authorization failed"}' }));
    await until('the new reason is said', () => /does not let Loam in.*expired/.test(why()));
    proxy.set(() => ({ status: 403, body: '{"error":"forbidden"}' }));
    await until('the new reason is said', () => /may not read store-/.test(why()));
    proxy.clear();
    await until('the store to be up', () => store.state.is === 'up');
    await proxy.close();
  });

  it('stays down while it refuses writes, though it answers questions, and is up when it takes one', async () => {
    const proxy = await startHttpProxy((await server()).port);
    const store = await open(through(proxy.port), { probeEveryMs: 20 });
    await store.write(numbered(1));
    const states: string[] = [];
    store.watch(({ is }) => states.push(is));
    proxy.set(({ url }) => (url.startsWith('/write') ? { status: 507, body: 'disk full' } : undefined));
    await rejects(store.write(numbered(2)), StoreUnavailable);
    const asked = proxy.passed;
    await until('it was asked some times', () => proxy.passed > asked + 5);
    expect(await store.latest('north')).to.have.length(2);
    expect(states).to.deep.equal(['down']);
    proxy.clear();
    await store.write(numbered(2));
    expect(states).to.deep.equal(['down', 'up']);
    await store.close();
    await proxy.close();
  });

  it('has the newest value of a sensor that has been silent for years, and looks no further back for the others', async () => {
    const proxy = await startHttpProxy((await server()).port);
    const store = await open(through(proxy.port));
    const now = Date.now();
    const ago = (days: number, value: number, sensor: string) => reading(now - days * DAY, { m: value }, { sensor });
    await store.write([
      ago(900, 1, 'gone'),
      ago(901, 2, 'gone'),
      ago(400, 3, 'silent'),
      ago(0, 4, 's'),
      ago(700, 5, 's'),
    ]);
    await store.write([reading(now + 3 * DAY, { m: 6 }, { sensor: 'ahead' })]);
    const statements: string[] = [];
    proxy.set(({ body }) => {
      const q = new URLSearchParams(body.toString()).get('q') ?? '';
      if (q.startsWith('SELECT last')) statements.push(q);
      return undefined;
    });
    const latest = await store.latest('north');
    expect(latest.map(({ sensor, value }) => [sensor, value])).to.have.deep.members([
      ['gone', 1],
      ['silent', 3],
      ['s', 4],
      ['ahead', 6],
    ]);
    expect(statements.every((q) => /time >= \d+ms AND time < \d+ms/.test(q))).to.equal(true);
    const begins = statements.map((q) => Number(/time >= (\d+)ms/.exec(q)?.[1]));
    expect(begins[0]).to.be.within(now - 2 * DAY, now);
    expect(begins[1]).to.be.within(now - 4 * DAY, now - DAY);
    expect(statements.slice(1).some((q) => q.includes(`"sensor" = 's'`))).to.equal(false);
    // Who has only a value of a time to come is looked for until the beginning, and then there.
    expect(statements.length).to.be.below(17);
    await proxy.close();
  });

  it('goes on after its server was killed and started again', async () => {
    const influx = await startInflux();
    const store = await open(influx.storeUrl('again'), { probeEveryMs: 50 });
    await store.write(numbered(1));
    await influx.kill();
    await rejects(store.write(numbered(2)), StoreUnavailable);
    await influx.start();
    await until('the store to be up', () => store.state.is === 'up');
    await store.write(numbered(2));
    expect(await everything(store)).to.have.length(40);
    await store.close();
    await influx.close();
  });

  it('needs the right password, and takes its loss for an outage', async () => {
    const influx = await startGuardedInflux();
    const urlWith = (password: string) =>
      `influx://admin:${encodeURIComponent(password)}@127.0.0.1:${influx.port}/guarded`;
    await rejects(openInfluxStore(urlWith('wrong')), StoreUnavailable);
    await rejects(openInfluxStore(`influx://127.0.0.1:${influx.port}/guarded`), StoreUnavailable);
    const store = await open(urlWith(influx.password), { probeEveryMs: 50 });
    await store.write(numbered(1));
    expect(await everything(store)).to.have.length(20);
    await influx.query(`SET PASSWORD FOR admin = 'other'`);
    await rejects(store.write(numbered(2)), StoreUnavailable);
    await rejects(store.latest('north'), StoreUnavailable);
    expect(store.state.is).to.equal('down');
    const again = await open(urlWith('other'));
    await again.write(numbered(2));
  });
});
