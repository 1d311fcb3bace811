import { Writable } from 'node:stream';
import { expect } from 'chai';
import { Packr } from 'msgpackr';
import pino from 'pino';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import { DEAD_LOG_LIMITS, ISOLATION_LOG_LIMITS, LIVE_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { decodeDead, encodeBatch, type Publish } from '../../telemetry/batch.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { Worker } from '../../workers/worker.ts';
import { influx } from '../services/influx.ts';
import { startProxy } from '../services/proxy.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { announced } from './bench.ts';

const FARM = 'north';
const { pack } = new Packr({ useRecords: false });
const bytes = (text: string) => new TextEncoder().encode(text);

function publish(sensor: string, payload: string | Uint8Array): Publish {
  const raw = typeof payload === 'string' ? bytes(payload) : payload;
  return { farm: FARM, field: 'f1', sensor, topic: telemetryTopic(FARM, sensor), payload: raw, received: Date.now() };
}

/** Holds whoever passes until it is open. */
function gate() {
  let open = () => {};
  const opened = new Promise<void>((resolve) => {
    open = resolve;
  });
  const door = {
    waiting: 0,
    open,
    pass: () => {
      door.waiting += 1;
      return opened;
    },
  };
  return door;
}

describe('a worker', function () {
  this.timeout(60_000);
  let folder: string;
  let queue: Queue;
  let live: Log;
  let dead: Log;
  let store: Store;
  const opened: { close(): Promise<void> }[] = [];

  beforeEach(async () => {
    folder = await temporaryFolder();
    queue = await openFileQueue(`${folder}/queue`);
    live = await openFileLog(`${folder}/log`, 'live', LIVE_LOG_LIMITS);
    dead = await openFileLog(`${folder}/log`, 'dead', DEAD_LOG_LIMITS);
    store = await openDuckdbStore(`${folder}/readings.duckdb`);
    opened.push(queue, live, dead, store);
  });

  afterEach(async () => {
    for (const port of opened.splice(0)) await port.close();
  });

  const openTrials = async () => {
    const trials = await openFileLog(`${folder}/log`, 'trials', ISOLATION_LOG_LIMITS);
    opened.push(trials);
    return trials;
  };

  async function working(over: Partial<ConstructorParameters<typeof Worker>[0]> = {}): Promise<Worker> {
    const worker = new Worker({ queue, store, live, dead, openTrials, log: silent, ...over });
    await worker.start();
    return worker;
  }

  const emptied = () => until('the queue is empty', async () => (await queue.depth()) === 0);
  const letters = async () => (await dead.read('first', 1_000)).map((entry) => decodeDead(entry.body));

  it('stores a reading, announces it with its batch id, and only then acknowledges', async () => {
    const worker = await working();
    await queue.publish(
      encodeBatch({ id: 'b1', publishes: [publish('s1', '{"ts":1764000000000,"values":{"soil_moisture":31.2}}')] }),
    );
    await emptied();
    const [value] = await store.latest(FARM);
    expect(value).to.include({ sensor: 's1', metric: 'soil_moisture', ts: 1764000000000, value: 31.2 });
    const [entry] = await announced(live);
    expect(entry).to.deep.include({ id: 'b1' });
    await worker.stop(5_000);
  });

  for (const missing of ['live log', 'store'] as const) {
    it(`acknowledges nothing before the ${missing} has it`, async () => {
      const door = gate();
      const slow = <T extends object>(port: T, method: keyof T): T =>
        new Proxy(port, {
          get: (target, name) => {
            const found: unknown = Reflect.get(target, name);
            if (typeof found !== 'function') return found;
            const call = (...given: unknown[]): unknown => Reflect.apply(found, target, given);
            return name === method ? (...given: unknown[]) => door.pass().then(() => call(...given)) : call;
          },
        });
      const over = missing === 'store' ? { store: slow(store, 'write') } : { live: slow(live, 'append') };
      const worker = await working(over);
      await queue.publish(
        encodeBatch({ id: 'b1', publishes: [publish('s1', '{"ts":1764000000000,"values":{"m":1}}')] }),
      );
      await until('it is asked for', () => door.waiting > 0);
      const other = async () =>
        missing === 'store' ? (await announced(live)).length === 1 : (await store.latest(FARM)).length === 1;
      await until('the other one has it', other);
      // What was acknowledged would be gone by the time that another message has made its whole way there and back.
      await queue.publish(encodeBatch({ id: 'b2', publishes: [publish('s1', 'no reading')] }));
      await until('the next is done', async () => (await letters()).length === 1 && (await queue.depth()) < 2);
      expect(await queue.depth()).to.equal(1);
      door.open();
      await emptied();
      await worker.stop(5_000);
    });
  }

  it('sets a bad payload aside with its bytes and the reason, and keeps the good ones beside it', async () => {
    const worker = await working();
    const hostile = new Uint8Array([0xff, 0x00, 0x7b]);
    await queue.publish(
      encodeBatch({
        id: 'b2',
        publishes: [publish('s1', hostile), publish('s2', '{"soil_moisture": 20}'), publish('s3', '{"soil_moisture":')],
      }),
    );
    await emptied();
    expect((await store.latest(FARM)).map((value) => value.sensor)).to.deep.equal(['s2']);
    const found = await letters();
    expect(found.map((letter) => [letter.publish.sensor, letter.reason])).to.have.deep.members([
      ['s1', 'not_utf8'],
      ['s3', 'not_json'],
    ]);
    expect(found.find((letter) => letter.publish.sensor === 's1')?.publish.payload).to.deep.equal(hostile);
    await worker.stop(5_000);
  });

  it('sets a queue message aside that is no batch, and goes on', async () => {
    const worker = await working();
    await queue.publish(bytes('what is this?'));
    await emptied();
    const [letter] = await letters();
    expect(letter?.reason).to.equal('unreadable_batch');
    expect(letter && new TextDecoder().decode(letter.publish.payload)).to.equal('what is this?');
    await worker.stop(5_000);
  });

  it('gives a batch of a newer version back to the queue, again and again, and works off the others meanwhile', async () => {
    const metrics = new Metrics();
    const worker = await working({ metrics });
    const newer = pack([4, null, 'b4', [], { what: 'nobody knows yet' }]);
    await queue.publish(newer);
    await queue.publish(encodeBatch({ id: 'b1', publishes: [publish('s1', '{"soil_moisture": 20}')] }));
    await until('the other is stored', async () => (await store.latest(FARM)).length === 1);
    await until('it came more than once', async () => {
      const count = /loam_worker_newer_batches_total (\d+)/.exec(await metrics.text())?.[1];
      return Number(count) >= 2;
    });
    expect(worker.health().find(({ name }) => name === 'queue messages')).to.include({ ok: false, optional: true });
    await worker.stop(5_000);
    expect(await letters()).to.deep.equal([]);
    const taken: Uint8Array[] = [];
    const consumer = await queue.consume(async ({ body }) => void taken.push(body), { prefetch: 1 });
    await until('a newer worker gets it', () => taken.length === 1);
    expect([...(taken[0] ?? [])]).to.deep.equal([...newer]);
    await consumer.stop();
  });

  it('makes one point of a batch that is delivered twice', async () => {
    const worker = await working();
    const batch = encodeBatch({
      id: 'b3',
      publishes: [publish('s1', '{"ts":1764000000000,"values":{"soil_moisture":31.2}}')],
    });
    await queue.publish(batch);
    await queue.publish(batch);
    await emptied();
    const buckets = await store.history({
      farm: FARM,
      sensors: ['s1'],
      metric: 'soil_moisture',
      from: 1763999999000,
      to: 1764000001000,
      bucket: { ms: 1_000 },
    });
    expect(buckets.map((bucket) => bucket.count)).to.deep.equal([1]);
    await worker.stop(5_000);
  });

  describe('while the store is away', () => {
    it('holds the batch unacknowledged, says so once, and stores it when the store is back', async () => {
      const server = await influx();
      const proxy = await startProxy(server.port);
      const database = `worker${Date.now()}`;
      await server.createDatabase(database);
      const remote = await openInfluxStore(`influx://127.0.0.1:${proxy.port}/${database}`);
      opened.push(remote);
      const lines: string[] = [];
      const log = pino(
        { level: 'info' },
        new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) }),
      );
      const worker = await working({ store: remote, log });
      proxy.cut();
      for (let i = 0; i < 20; i++)
        await queue.publish(encodeBatch({ id: `o${i}`, publishes: [publish(`s${i}`, '{"soil_moisture": 20}')] }));
      await until('the worker reports the store', () =>
        worker.health().some((check) => check.name === 'store' && !check.ok),
      );
      expect(await queue.depth()).to.equal(20);
      proxy.restore();
      await emptied();
      expect(await remote.latest(FARM)).to.have.length(20);
      expect(lines.filter((line) => line.includes('away'))).to.have.length(1);
      await until('it is said that the store is back', () => lines.some((line) => line.includes('is back')));
      expect(lines.filter((line) => line.includes('is back'))).to.have.length(1);
      await worker.stop(5_000);
      await proxy.close();
    });

    it('gives the batch back when it is stopped meanwhile, and the next worker stores it', async () => {
      const server = await influx();
      const proxy = await startProxy(server.port);
      const database = `stopped${Date.now()}`;
      await server.createDatabase(database);
      const remote = await openInfluxStore(`influx://127.0.0.1:${proxy.port}/${database}`);
      opened.push(remote);
      const worker = await working({ store: remote });
      proxy.cut();
      await queue.publish(encodeBatch({ id: 'g1', publishes: [publish('s1', '{"soil_moisture": 20}')] }));
      await until('the worker reports the store', () =>
        worker.health().some((check) => check.name === 'store' && !check.ok),
      );
      await worker.stop(1_000);
      expect(await queue.depth()).to.equal(1);
      const next = await working();
      await emptied();
      expect(await store.latest(FARM)).to.have.length(1);
      await next.stop(5_000);
      await proxy.close();
    });
  });
});
