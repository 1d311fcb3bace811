import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { openLmdbQueue } from '../../backbone/lmdb/queue.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import type { Broker } from '../../broker/broker.ts';
import { type ReceiptLimits, Receipts } from '../../broker/ingest/receipts.ts';
import { DEFAULT_BROKER_LIMITS } from '../../broker/limits.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { createValidate } from '../../workers/validate.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { Workbench } from '../workers/bench.ts';
import { Book, FARMS, publishPacket, RawClient, startBroker, takeOut, topicOf, Valve } from './harness.ts';

const HOUR = 3_600_000;
const range = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

describe('the times of receipt of one sensor', () => {
  let queue: Queue;
  let broker: Broker;
  const clients: RawClient[] = [];

  beforeEach(async () => {
    queue = await openLmdbQueue(await temporaryFolder());
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end();
    await broker.stop(2_000);
    await queue.close();
  });

  async function connect(as: string, keepalive = 60): Promise<RawClient> {
    const client = new RawClient(broker.port);
    clients.push(client);
    client.greet(as, { clientId: `of ${as}`, keepalive });
    await until('CONNACK', () => client.of('connack').length === 1);
    return client;
  }
  const burst = (client: RawClient, count: number, qos: 0 | 1 = 1, sensor = 'a1') =>
    client.send(...range(count).map((n) => publishPacket(topicOf(sensor), `{"n":${n}}`, qos === 0 ? 0 : n)));

  it('are all different and rise with its publishes, however many come in one millisecond', async () => {
    broker = await startBroker(queue);
    const client = await connect('a1');
    const before = Date.now();
    burst(client, 500);
    await until('all PUBACKs', () => client.pubacks.length === 500);
    const taken = await takeOut(queue, 500);
    const times = taken.map(({ received }) => received);
    expect(new Set(times).size).to.equal(500);
    expect(times).to.deep.equal([...times].sort((a, b) => a - b));
    expect(taken.map(({ payload }) => Buffer.from(payload).toString())).to.deep.equal(
      range(500).map((n) => `{"n":${n}}`),
    );
    expect(times[0]).to.be.within(before, Date.now());
    expect(times.at(-1)).to.be.below(Date.now() + 500);
  });

  it('are different too when it publishes itself, through a bridge, and at QoS 0', async () => {
    broker = await startBroker(queue);
    const [own, bridge] = [await connect('a1'), await connect('gate')];
    burst(own, 100);
    burst(bridge, 100);
    burst(own, 100, 0);
    const times = (await takeOut(queue, 300)).map(({ received }) => received);
    expect(new Set(times).size).to.equal(300);
  });

  it('stay as they were given when the queue refuses and takes the publishes later', async () => {
    const valve = new Valve(queue);
    broker = await startBroker(valve);
    valve.refuse('full');
    const client = await connect('a1');
    burst(client, 20);
    await until('the queue was tried again', () => valve.tried >= 3);
    const accepted = Date.now();
    valve.accept();
    const times = (await takeOut(queue, 20)).map(({ received }) => received);
    expect(new Set(times).size).to.equal(20);
    for (const time of times) expect(time).to.be.below(accepted);
  });

  it('run ahead of the clock so far and no further: then its publishes are held, and acknowledged when they are kept', async () => {
    const metrics = new Metrics();
    const receipts = new Receipts({ limits: limits({ aheadMs: 50 }), log: silent, metrics });
    broker = await startBroker(queue, { receipts });
    const client = await connect('a1');
    burst(client, 250);
    await until('all PUBACKs', () => client.pubacks.length === 250);
    const end = Date.now();
    const times = (await takeOut(queue, 250)).map(({ received }) => received);
    expect(new Set(times).size).to.equal(250);
    expect(Math.max(...times)).to.be.at.most(end + 51);
    expect(client.pubacks).to.deep.equal(range(250));
    expect(receipts.counts.held).to.be.greaterThan(0);
    expect(await metrics.text()).to.match(/loam_receipts_total\{event="held"\} [1-9]/);
  });

  it('are no reason to keep what was held for a client that has gone and will send it again', async () => {
    const receipts = new Receipts({ limits: limits({ aheadMs: 10 }), log: silent });
    broker = await startBroker(queue, { receipts });
    const client = await connect('a1', 1);
    burst(client, 250);
    await until('some are held', () => receipts.counts.held > 0);
    client.end();
    await until('the broker has seen it go', () => broker.clients === 0);
    await until('every publish has met its fate', () => {
      const { received, published, givenUp } = broker.counters;
      return broker.held.publishes === 0 && published + givenUp === received;
    });
    expect(broker.counters.givenUp).to.be.greaterThan(0);
  });
});

describe('readings without a time of their own', () => {
  let bench: Workbench;
  let store: Store;
  let broker: Broker;
  const clients: RawClient[] = [];

  beforeEach(async () => {
    bench = await Workbench.open();
    store = await openDuckdbStore(`${await temporaryFolder()}/readings.duckdb`);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end();
    await broker.stop(2_000);
    await bench.close();
    await store.close();
  });

  async function stored(yaml: string, payloads: readonly string[], topic = topicOf('a1')): Promise<number[]> {
    const registry = new Book(yaml);
    broker = await startBroker(bench.queue, { registry });
    await bench.work(store, silent, { validate: createValidate({ registry }) });
    const client = new RawClient(broker.port);
    clients.push(client);
    client.greet('a1');
    await until('CONNACK', () => client.of('connack').length === 1);
    client.send(...payloads.map((payload, i) => publishPacket(topic, payload, i + 1)));
    await until('all PUBACKs', () => client.pubacks.length === payloads.length);
    await bench.emptied();
    const values: number[] = [];
    const all = { farm: 'north', sensors: ['a1'], metrics: ['n', 'seq'], from: 0, to: Date.now() + HOUR };
    for await (const { value } of store.export(all)) values.push(value);
    return values.sort((a, b) => a - b);
  }
  const ofReceipt = FARMS.replace('id: a1, farm: north,', 'id: a1, farm: north, clock: receipt,');

  it('that come in one millisecond are all stored', async () => {
    expect(
      await stored(
        FARMS,
        range(100).map((n) => `{"n":${n}}`),
      ),
    ).to.deep.equal(range(100));
    expect(await bench.letters()).to.deep.equal([]);
  });

  it('and those whose time is replaced by that of their receipt are all stored', async () => {
    const payloads = range(60).map((n) => `{"ts":${n * 600_000},"values":{"n":${n}}}`);
    expect(await stored(ofReceipt, payloads)).to.deep.equal(range(60));
  });

  it('are stored beside those of the same payload whose time is replaced', async () => {
    const payload = '[{"n":1},{"ts":600000,"values":{"n":2}},{"ts":0,"values":{"n":3}}]';
    expect(await stored(ofReceipt, [payload], 'v1/devices/me/telemetry')).to.deep.equal([1, 2, 3]);
  });

  for (const [form, topic, payload] of [
    ['Loam’s own', topicOf('a1'), '[{"seq":1},{"seq":2}]'],
    ['SenML', topicOf('a1'), '[{"n":"seq","v":1},{"n":"seq","v":2}]'],
    ['ThingsBoard’s', 'v1/devices/me/telemetry', '[{"seq":1},{"seq":2}]'],
  ] as const) {
    it(`are refused by name, not written over each other, when one payload in ${form} form has two of a metric`, async () => {
      const values = await stored(FARMS, [payload], topic);
      const letters = await bench.letters();
      expect(letters).to.have.length(1);
      expect(values.length).to.be.at.most(1);
      expect(letters[0]?.reason).to.equal(values.length === 0 ? 'time_required' : 'double_name');
    });
  }
});

describe('receipts', () => {
  const clock = { now: Date.UTC(2026, 5, 1), passed: 1_000 };
  const passes = (ms: number) => {
    clock.now += ms;
    clock.passed += ms;
  };
  const given = (receipts: Receipts, sensor: string): number => {
    let at = Number.NaN;
    receipts.give('north', sensor, (received) => {
      at = received;
    });
    return at;
  };
  const make = (over: Partial<ReceiptLimits> = {}) =>
    new Receipts({
      limits: limits(over),
      log: silent,
      clocks: { wall: () => clock.now, monotonic: () => clock.passed },
    });

  it('go on rising when the clock is set back a little', () => {
    const receipts = make();
    const before = given(receipts, 's1');
    clock.now -= 30_000;
    passes(5);
    expect(given(receipts, 's1')).to.equal(before + 1);
    passes(40_000);
    expect(given(receipts, 's1')).to.equal(clock.now);
  });

  it('begin anew from the clock’s time when it is set back far, also after it was wrong by decades', () => {
    for (const wrongMs of [2 * HOUR, 20_000 * 24 * HOUR]) {
      const receipts = make();
      given(receipts, 's1');
      clock.now += wrongMs;
      passes(1_000);
      expect(given(receipts, 's1')).to.equal(clock.now);
      clock.now -= wrongMs;
      passes(1_000);
      expect(given(receipts, 's1')).to.equal(clock.now);
      expect(given(receipts, 's1')).to.equal(clock.now + 1);
      expect(receipts.counts.anew).to.equal(1);
    }
  });

  it('of a sensor that runs ahead stay different while the clock is set back, by little or by much', () => {
    for (const backMs of [5, 90_000]) {
      const receipts = make({ aheadMs: 1_000 });
      const times = range(900).map(() => given(receipts, 's1'));
      clock.now -= backMs;
      for (const _ of range(90)) times.push(given(receipts, 's1'));
      expect(new Set(times).size).to.equal(990);
    }
  });

  it('of a sensor that made place for another go on rising too when the clock is set back a little', () => {
    for (const receiptSensors of [1, 2, 3, 5]) {
      const receipts = make({ receiptSensors, aheadMs: 1_000 });
      const seen = new Map(range(8).map((n) => [`s${n}`, new Set<number>()]));
      let step = 7;
      for (const n of range(4_000)) {
        step = (step * 1_103_515_245 + 12_345) % 2 ** 31;
        passes(n % 50 === 0 ? 20 : (step >>> 16) % 3);
        if ((step >>> 18) % 7 === 0) clock.now -= 1 + ((step >>> 20) % 5);
        const sensor = `s${1 + ((step >>> 13) % 8)}`;
        const at = given(receipts, sensor);
        expect(seen.get(sensor)?.has(at), `${sensor} at ${at} with ${receiptSensors}`).to.equal(false);
        seen.get(sensor)?.add(at);
      }
      expect(receipts.counts.anew).to.equal(0);
    }
  });

  it('are remembered of so many sensors, and are different of more, too', () => {
    const receipts = make({ receiptSensors: 3 });
    const times = new Map(range(10).map((n) => [`s${n}`, new Set<number>()]));
    const rounds = (count: number) => {
      for (const _ of range(count)) for (const [sensor, seen] of times) seen.add(given(receipts, sensor));
    };
    rounds(50);
    expect(receipts.counts.shared).to.equal(7 * 50);
    passes(100);
    rounds(50);
    passes(2_000);
    rounds(50);
    for (const seen of times.values()) expect(seen.size).to.equal(150);
  });
});

function limits(over: Partial<ReceiptLimits>): ReceiptLimits {
  return { ...DEFAULT_BROKER_LIMITS, ...over };
}
