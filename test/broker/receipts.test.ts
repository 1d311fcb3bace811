import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import { Receipts } from '../../broker/ingest/receipts.ts';
import { silent } from '../../core/logger.ts';
import { isInstant, msOf } from '../../telemetry/instant.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { Workbench } from '../workers/bench.ts';
import { FARMS, publishPacket, RawClient, startBroker, takeOut, topicOf, Valve } from './harness.ts';

const HOUR = 3_600_000;
const range = (count: number) => Array.from({ length: count }, (_, i) => i + 1);

describe('the times of receipt of one sensor', () => {
  let queue: Queue;
  let broker: Broker;
  const clients: RawClient[] = [];

  beforeEach(async () => {
    queue = await openFileQueue(await temporaryFolder());
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
    const taken = await takeOut(queue, 300);
    expect(new Set(taken.map(({ received }) => received)).size).to.equal(300);
    // Whose clock counts may be said of the bridge.
    const brought = taken.flatMap(({ via }) => via ?? []);
    expect(brought).to.deep.equal(Array.from({ length: 100 }, () => ({ kind: 'bridge', id: 'gate' })));
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
    await bench.work(store, silent, { registry });
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
  const clock = { now: Date.UTC(2026, 5, 1) };
  const make = () => new Receipts({ log: silent, now: () => clock.now });
  /** So many receipts, while the clock goes on by up to `most` ms for each. */
  const some = (receipts: Receipts, count: number, most = 0): number[] =>
    range(count).map((n) => {
      clock.now += most === 0 ? 0 : (n * 7_919) % (most + 1);
      return receipts.next();
    });
  const rise = (times: readonly number[]) => times.every((time, i) => i === 0 || time > (times[i - 1] ?? 0));

  it('are instants of the clock’s millisecond, distinct and rising, also thousands in one millisecond', () => {
    const receipts = make();
    const begun = clock.now;
    const times = [...some(receipts, 3_500), ...some(receipts, 2_000, 2)];
    expect(rise(times)).to.equal(true);
    expect(times.every(isInstant)).to.equal(true);
    expect(msOf(times[0] ?? 0)).to.equal(begun);
    // A count that begins anywhere is used up after 1,000: 3,500 take four or five milliseconds.
    expect(msOf(times[3_499] ?? 0)).to.be.within(begun + 3, begun + 4);
  });

  it('follow the clock to the millisecond at any rate that a broker can take', () => {
    const receipts = make();
    for (const _ of range(500)) {
      clock.now += 1;
      const times = some(receipts, 100);
      expect(rise(times)).to.equal(true);
      for (const time of times) expect(msOf(time) - clock.now).to.be.within(0, 1);
    }
  });

  it('go on rising when the clock is set back by less than a minute', () => {
    const receipts = make();
    const before = some(receipts, 1_500, 3);
    clock.now -= 59_000;
    const after = some(receipts, 5_000, 40);
    expect(rise([...before, ...after])).to.equal(true);
    expect(msOf(after.at(-1) ?? 0)).to.equal(clock.now);
    expect(receipts.counts.anew).to.equal(0);
  });

  it('follow a clock that is set back further, also after it was wrong by decades, and say so', () => {
    for (const wrongMs of [2 * HOUR, 20_000 * 24 * HOUR]) {
      const receipts = make();
      receipts.next();
      clock.now += wrongMs;
      expect(msOf(receipts.next())).to.equal(clock.now);
      clock.now -= wrongMs;
      expect(msOf(receipts.next())).to.equal(clock.now);
      expect(rise(some(receipts, 2_000, 1))).to.equal(true);
      expect(receipts.counts.anew).to.equal(1);
    }
  });

  it('of two runs in one millisecond begin at counts that are drawn', () => {
    const firsts = new Set(range(50).map(() => make().next()));
    expect(firsts.size).to.be.greaterThan(30);
  });
});
