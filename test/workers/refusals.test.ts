import { expect } from 'chai';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { Watched } from '../../core/lifecycle.ts';
import type { Publish } from '../../telemetry/batch.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { OutageGate } from '../../workers/outage-gate.ts';
import { type Asked, type Fault, type HttpProxy, startHttpProxy } from '../services/http-proxy.ts';
import { type InfluxServer, influx } from '../services/influx.ts';
import { until } from '../services/wait.ts';
import { FARM, listening, numberedPublish, storedSeqs, Workbench } from './bench.ts';

let databases = 0;
const linesOf = ({ url, body }: Asked) => (url.startsWith('/write') ? body.toString().split('\n') : []);
const isReading = (line: string) => line.startsWith('readings,');
const HOUR = 3_600_000;

describe('a worker whose store refuses some readings', function () {
  this.timeout(60_000);
  let server: InfluxServer;
  let proxy: HttpProxy;
  let bench: Workbench;
  let store: Store;
  let database: string;
  let writes: number;

  beforeEach(async () => {
    server = await influx();
    proxy = await startHttpProxy(server.port);
    bench = await Workbench.open();
    database = `refused-${process.pid}-${++databases}`;
    store = await openInfluxStore(`influx://127.0.0.1:${proxy.port}/${database}`, { probeEveryMs: 50 });
    writes = 0;
  });

  afterEach(async () => {
    await bench.close();
    await store.close();
    await proxy.close();
  });

  /** From now on counts writes of readings, and answers in the server's place where `decide` says so. */
  function answer(decide: (lines: readonly string[]) => Fault | undefined): void {
    proxy.set((asked) => {
      const lines = linesOf(asked).filter(isReading);
      if (lines.length === 0) return undefined;
      writes += 1;
      return decide(lines);
    });
  }

  const unexplained: Fault = { status: 500, body: '{"error":"internal error"}' };

  it('without saying why goes on with all others, and sets those aside that are never taken', async () => {
    answer((lines) => (lines.some((line) => /poison=/.test(line)) ? unexplained : undefined));
    await bench.work(store, listening().log);
    const guilty = new Set([3, 150, 299]);
    for (let i = 0; i < 30; i++) {
      const of = (seq: number) => numberedPublish('s1', seq, guilty.has(seq) ? { poison: 1 } : {});
      await bench.publish(
        `m${i}`,
        Array.from({ length: 10 }, (_, k) => of(i * 10 + k)),
      );
    }
    await bench.emptied(40_000);
    expect((await storedSeqs(store, 's1')).size).to.equal(297);
    const letters = await bench.letters();
    expect(letters.map(({ publish }) => seqOf(publish))).to.have.members([...guilty]);
    for (const { reason, explanation } of letters) {
      expect(reason).to.equal('store_rejected');
      expect(explanation).to.contain('internal error');
    }
    expect(store.state.is).to.equal('up');
  });

  it('without saying why writes others while it tries them again, and says so', async () => {
    answer((lines) => (lines.some((line) => /poison=/.test(line)) ? unexplained : undefined));
    const worker = await bench.work(store, listening().log);
    await bench.publish('bad', [numberedPublish('s2', 0, { poison: 1 })]);
    const refused = () => worker.health().find(({ name }) => name === 'refused readings');
    const line = await until('it is said', refused);
    expect(line).to.include({ ok: false, optional: true });
    expect(line.why).to.match(/1 readings.*internal error/);
    await bench.publish('good', [numberedPublish('s1', 1)]);
    await until('the other is stored', async () => (await storedSeqs(store, 's1')).size === 1);
    await bench.emptied();
    expect(refused()).to.equal(undefined);
    expect(await bench.letters()).to.have.length(1);
  });

  it('sets none aside while it takes none at all, and stores all when it takes them again', async () => {
    answer(() => unexplained);
    const worker = await bench.work(store, listening().log);
    for (let i = 0; i < 10; i++) await bench.publish(`m${i}`, [numberedPublish('s1', i)]);
    await until('it was tried often', () => writes >= 60, { timeoutMs: 40_000 });
    expect(await bench.letters()).to.deep.equal([]);
    expect(worker.health().filter(({ ok }) => !ok)).to.have.length.of.at.least(1);
    proxy.clear();
    await bench.emptied();
    expect((await storedSeqs(store, 's1')).size).to.equal(10);
    expect(await bench.letters()).to.deep.equal([]);
  });

  it('and anything else, too, is away: everything waits, and nothing is tried in parts', async () => {
    proxy.set(({ url }) => (url.startsWith('/write') ? unexplained : undefined));
    const worker = await bench.work(store, listening().log);
    for (let i = 0; i < 10; i++) await bench.publish(`m${i}`, [numberedPublish('s1', i)]);
    await until('it was tried some times', () => proxy.faulty >= 10, { timeoutMs: 40_000 });
    const names = worker.health().flatMap(({ name, ok }) => (ok ? [] : [name]));
    expect(names).to.deep.equal(['store']);
    proxy.clear();
    await bench.emptied();
    expect((await storedSeqs(store, 's1')).size).to.equal(10);
    expect(await bench.letters()).to.deep.equal([]);
  });

  it('because they are older than it keeps any makes one dead letter of those of a sensor', async () => {
    await server.query('', `CREATE RETENTION POLICY "short" ON "${database}" DURATION 1h REPLICATION 1 DEFAULT`);
    answer(() => undefined);
    await bench.work(store, listening().log);
    const now = Math.floor(Date.now() / 1_000) * 1_000;
    const old = (sensor: string, seq: number) => at(sensor, now - 2 * HOUR + seq * 1_000, seq);
    const publishes = Array.from({ length: 500 }, (_, seq) => [old('s1', seq), at('s3', now + seq, seq)]).flat();
    await bench.publish('m', [...publishes, old('s2', 0)]);
    await bench.emptied();
    expect((await storedSeqs(store, 's3')).size).to.equal(500);
    const letters = await bench.letters();
    expect(letters.map(({ reason, publish }) => [reason, publish.sensor])).to.have.deep.members([
      ['beyond_retention', 's1'],
      ['beyond_retention', 's2'],
    ]);
    const lot = letters.find(({ publish }) => publish.sensor === 's1')?.publish.payload ?? new Uint8Array();
    const kept: { ts: number }[] = JSON.parse(Buffer.from(lot).toString());
    expect(kept.map(({ ts }) => ts)).to.deep.equal(Array.from({ length: 500 }, (_, seq) => old('s1', seq).received));
    expect(writes).to.be.below(6);
  });

  // https://github.com/dojot/dojot/issues/2216 has the first, of 2.0.x;
  // https://github.com/influxdata/influxdb/pull/26257 brought the second, to 1.12 and 2.7.12.
  const forms = [
    {
      version: '2.0',
      status: 500,
      text: (n: number) =>
        `unexpected error writing points to database: partial write: points beyond retention policy dropped=${n}`,
    },
    {
      version: '2.7.12',
      status: 422,
      text: (n: number) =>
        `failure writing points to database: partial write: dropped ${n} points outside retention policy of duration 1h0m0s - ` +
        'oldest point readings,farm=north,sensor=s1 at 2023-01-04T00:00:00Z dropped because it violates a Retention Policy ' +
        `Lower Bound at 2026-01-04T00:00:00Z dropped=${n} for database: 0123456789abcdef for retention policy: autogen`,
    },
  ];
  for (const { version, status, text } of forms) {
    it(`because of their age, in the words of ${version}, is understood`, async () => {
      const now = Date.now();
      answer((lines) => {
        const n = lines.filter((line) => Number(line.split(' ').pop()) / 1_000 < now - HOUR).length;
        return n === 0 ? undefined : { status, body: JSON.stringify({ code: 'x', message: text(n) }) };
      });
      await bench.work(store, listening().log);
      const old = [1, 2, 3].map((seq) => at('s1', now - 2 * HOUR + seq, seq));
      await bench.publish('m', [...old, ...[4, 5].map((seq) => at('s1', now + seq, seq))]);
      await bench.emptied();
      expect([...(await storedSeqs(store, 's1')).keys()].sort()).to.deep.equal([4, 5]);
      const letters = await bench.letters();
      expect(letters.map(({ reason }) => reason)).to.deep.equal(['beyond_retention']);
      expect(writes).to.equal(2);
    });
  }

  it('is left alone for as long as it asks by Retry-After, in seconds, though it answers questions', async () => {
    const times: number[] = [];
    answer(() => {
      times.push(performance.now());
      return { status: 503, headers: { 'retry-after': '2' }, body: '{"error":"disk full"}' };
    });
    const worker = await bench.work(store, listening().log);
    await bench.publish('m', [numberedPublish('s1', 1)]);
    await until('it was tried three times', async () => {
      await store.latest(FARM);
      return times.length >= 3;
    });
    const pauses = times.slice(1).map((time, i) => time - (times[i] ?? 0));
    for (const ms of pauses) expect(ms).to.be.at.least(1_990);
    const line = worker.health().find(({ name }) => name === 'store');
    expect(line).to.include({ ok: false });
    expect(line?.why).to.contain('disk full');
    proxy.clear();
    await bench.emptied();
    await until('it is up', () => store.state.is === 'up');
  });
});

describe('a port that asks for a pause', () => {
  it('gets it, although it says meanwhile that it is up', async () => {
    const port = new Watched();
    const gate = new OutageGate('store', port, listening().log, new AbortController().signal);
    const times: number[] = [];
    const done = gate.until(async () => {
      times.push(performance.now());
      if (times.length < 2) throw new StoreUnavailable('busy', { retryAfterMs: 500 });
    });
    await until('it was tried', () => gate.isAway);
    port.set({ is: 'down', since: 0, why: 'busy' });
    port.set({ is: 'up' });
    await done;
    expect((times[1] ?? 0) - (times[0] ?? 0)).to.be.at.least(499);
  });
});

function at(sensor: string, ts: number, seq: number): Publish {
  const payload = Buffer.from(JSON.stringify({ ts, values: { seq } }));
  return { farm: FARM, field: 'f1', sensor, topic: telemetryTopic(FARM, sensor), payload, received: ts };
}

function seqOf({ payload }: Publish): number {
  return JSON.parse(Buffer.from(payload).toString()).values.seq;
}
