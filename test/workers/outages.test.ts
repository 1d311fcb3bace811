import { expect } from 'chai';
import { openInfluxStore } from '../../backbone/influx/store.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { encodeBatch } from '../../telemetry/batch.ts';
import { Fold } from '../../workers/fold.ts';
import { OutageGate } from '../../workers/outage-gate.ts';
import type { Worker } from '../../workers/worker.ts';
import { declareByHand } from '../backbone/rabbitmq-help.ts';
import { type Asked, type HttpProxy, startHttpProxy } from '../services/http-proxy.ts';
import { type InfluxServer, influx } from '../services/influx.ts';
import { itIfLong, someOf } from '../services/length.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { until } from '../services/wait.ts';
import { consumedBy, FARM, listening, numberedPublish, storedSeqs, T0, Workbench } from './bench.ts';

const isWrite = ({ url }: Asked) => url.startsWith('/write') || url.startsWith('/api/v2/write');
let databases = 0;

describe('a worker whose store refuses', function () {
  this.timeout(60_000);
  let server: InfluxServer;
  let proxy: HttpProxy;
  let bench: Workbench;
  let store: Store;
  let database: string;

  beforeEach(async () => {
    server = await influx();
    proxy = await startHttpProxy(server.port);
    bench = await Workbench.open();
    database = `refusing-${process.pid}-${++databases}`;
    store = await openInfluxStore(`influx://127.0.0.1:${proxy.port}/${database}`, {
      // So that the store does not seem to be away again on a busy machine.
      writeTimeoutMs: 3_000,
      probeEveryMs: 100,
    });
  });

  afterEach(async () => {
    await bench.close();
    await store.close();
    await proxy.close();
  });

  const storeIsAway = (worker: Worker) =>
    until('the worker reports the store', () => worker.health().find((check) => check.name === 'store' && !check.ok));

  async function publishSome(messages: number, each = 10): Promise<void> {
    for (let i = 0; i < messages; i++) {
      const readings = Array.from({ length: each }, (_, k) => numberedPublish('s1', i * each + k));
      await bench.publish(`m${i}`, readings);
    }
  }

  async function everythingOnce(count: number): Promise<void> {
    const found = await storedSeqs(store, 's1');
    expect([...found.keys()].sort((a, b) => a - b)).to.deep.equal(Array.from({ length: count }, (_, i) => i));
    expect([...found.values()].every((times) => times === 1)).to.equal(true);
    expect(await bench.letters()).to.deep.equal([]);
  }

  const refusals = [
    { what: '429 too many requests', fault: { status: 429, headers: { 'retry-after': '1' } } },
    {
      what: '500 for a full disk',
      fault: { status: 500, body: '{"error":"engine: write /wal: no space left on device"}' },
    },
    { what: '503', fault: { status: 503 } },
    { what: '401', fault: { status: 401, body: '{"error":"authorization failed"}' } },
    { what: '404, the database is gone', fault: { status: 404, body: '{"error":"database not found"}' } },
    { what: 'no answer at all', fault: 'hang' as const },
  ];

  for (const { what, fault } of someOf(refusals, 3)) {
    it(`holds everything through ${what}, says so once, and goes on by itself`, async () => {
      const { log, lines } = listening();
      proxy.set((asked) => (isWrite(asked) ? fault : undefined));
      const worker = await bench.work(store, log);
      await publishSome(30);
      const { why } = await storeIsAway(worker);
      if (fault !== 'hang') expect(why).to.contain(String(fault.status));
      await until('it was tried more than once', () => proxy.faulty >= 2);
      expect(await bench.queue.depth()).to.equal(30);
      proxy.clear();
      await bench.emptied();
      await everythingOnce(300);
      await until('its return is said', () => lines.some((line) => line.includes('store is back')));
      expect(lines).to.have.length(2);
    });
  }

  itIfLong(
    'holds everything for longer than RabbitMQ lets a consumer work, however often it gives the messages out again',
    async function () {
      this.timeout(180_000);
      const { url, ctl } = await rabbit();
      const setting = (name: string, ms: number) => ctl('eval', `application:set_env(rabbit, ${name}, ${ms}).`);
      // Read when a channel is opened. From 3.12 on the queue's own limit wins over the server's.
      await setting('consumer_timeout', 1_000);
      await setting('channel_tick_interval', 300);
      const name = `patience.${process.pid}.${Date.now()}`;
      await declareByHand(url, name, { 'x-consumer-timeout': 1_000 });
      const queue = await openRabbitQueue(url, { name, settleMs: 0 });
      try {
        proxy.set((asked) => (isWrite(asked) ? { status: 503 } : undefined));
        const given = new Map<string, number>();
        const watched = consumedBy(queue, (handler, options) =>
          queue.consume((delivery) => {
            const message = Buffer.from(delivery.body).toString('latin1');
            given.set(message, (given.get(message) ?? 0) + 1);
            return handler(delivery);
          }, options),
        );
        const worker = await bench.work(store, listening().log, { queue: watched });
        for (let i = 0; i < 3; i++) {
          const publishes = Array.from({ length: 10 }, (_, k) => numberedPublish('s1', i * 10 + k));
          await queue.publish(encodeBatch({ id: `m${i}`, publishes }));
        }
        await storeIsAway(worker);
        // More often than a message may come in company, so that those that come too often are tried alone as well.
        await until('it came five times', () => Math.max(...given.values()) >= 5, { timeoutMs: 90_000 });
        proxy.clear();
        await until('all are stored', async () => (await storedSeqs(store, 's1')).size === 30, { timeoutMs: 30_000 });
        await until('the queue is empty', async () => (await queue.depth()) === 0, { timeoutMs: 30_000 });
        await everythingOnce(30);
      } finally {
        await setting('consumer_timeout', 1_800_000);
        await setting('channel_tick_interval', 60_000);
        await queue.close();
      }
    },
  );

  it('is tried by one at a time while it is away, not by every message in hand', async () => {
    const { log } = listening();
    const afterMs = 200;
    let now = 0;
    let most = 0;
    proxy.set((asked) => {
      if (!isWrite(asked)) return undefined;
      now += 1;
      most = Math.max(most, now);
      // Just before the answer: nobody can know of it yet.
      setTimeout(() => {
        now -= 1;
      }, afterMs - 1);
      return { status: 503, afterMs };
    });
    const worker = await bench.work(store, log);
    await publishSome(100);
    await storeIsAway(worker);
    // Writes that were under way when the first failed are answered after it.
    await until('no write is under way', () => now === 0);
    most = 0;
    const before = proxy.faulty;
    await until('it was tried some times', () => proxy.faulty >= before + 5, { timeoutMs: 30_000 });
    expect(most).to.equal(1);
    proxy.clear();
    await bench.emptied();
    await everythingOnce(1_000);
  });

  it('gets no smaller writes because it is far away', async () => {
    const far = await openInfluxStore(`influx://127.0.0.1:${proxy.port}/${database}-far`);
    const sizes: number[] = [];
    const fold = new Fold({
      store: far,
      outageGate: new OutageGate('store', far, listening().log, new AbortController().signal),
      setAside: () => Promise.reject(new Error('nothing is refused')),
      wrote: (readings) => sizes.push(readings),
      signal: new AbortController().signal,
    });
    proxy.delay(1_100);
    const reading = (seq: number) => ({ farm: FARM, sensor: 's1', ts: T0 + seq, received: T0, values: { seq } });
    await fold.write(Array.from({ length: 20_000 }, (_, seq) => reading(seq)));
    expect(sizes).to.deep.equal([5_000, 5_000, 5_000, 5_000]);
    proxy.delay(0);
    await far.close();
  });

  it('gets smaller writes when it takes no large ones', async () => {
    const { log } = listening();
    const most = 2_000;
    proxy.set((asked) => (isWrite(asked) && asked.body.length > most ? { status: 413 } : undefined));
    await bench.work(store, log);
    await publishSome(30);
    await bench.emptied();
    expect(proxy.faulty).to.be.greaterThan(0);
    await everythingOnce(300);
  });

  it('keeps everything but the lines that it refuses for good, which are set aside', async () => {
    const { log } = listening();
    // A field of another type, that somebody wrote by hand: from now on no number fits there.
    await server.query('', `CREATE DATABASE "${database}"`);
    const line = `readings,farm=${FARM},sensor=other kind="text" 1764000000000`;
    const written = await fetch(`${server.url}/write?db=${database}&precision=ms`, { method: 'POST', body: line });
    expect(written.status).to.equal(204);
    await bench.work(store, log);
    const guilty = new Set([3, 77, 150, 151, 299]);
    for (let i = 0; i < 30; i++) {
      const publishes = Array.from({ length: 10 }, (_, k) => {
        const seq = i * 10 + k;
        return numberedPublish('s1', seq, guilty.has(seq) ? { kind: 1 } : { kind_two: 1 });
      });
      await bench.publish(`m${i}`, publishes);
    }
    await bench.emptied();
    const found = await storedSeqs(store, 's1');
    expect(found.size).to.equal(295);
    const letters = await bench.letters();
    const seqOf = (payload: Uint8Array) => JSON.parse(Buffer.from(payload).toString()).values.seq;
    expect(letters.map(({ publish }) => seqOf(publish.payload))).to.have.members([...guilty]);
    for (const letter of letters) {
      expect(letter.reason).to.equal('store_rejected');
      expect(letter.explanation).to.match(/kind.*type/);
    }
    expect(await bench.metric(`loam_set_aside_total{farm="${FARM}",reason="store_rejected"}`)).to.equal(5);
  });
});
