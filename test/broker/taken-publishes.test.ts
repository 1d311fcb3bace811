import { expect } from 'chai';
import fc from 'fast-check';
import type { Packet } from 'mqtt-packet';
import { openLmdbQueue } from '../../backbone/lmdb/queue.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import { decodeBatch, type Publish } from '../../telemetry/batch.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { RawClient, startBroker, topicOf, Valve } from './harness.ts';

type Qos = 0 | 1 | 2;

/** What a client still has to do about one of its publishes (MQTT 3.1.1, 4.4). */
interface Exchange {
  readonly id: number;
  readonly qos: 1 | 2;
  readonly payload: string;
  /** With QoS 2, after PUBREC: the PUBREL is what is sent again. */
  released: boolean;
}

/** A sensor with a session that goes on (clean=0), as MQTT asks it to be: it sends again what is unacknowledged when it comes back. */
class Sensor {
  readonly published: { readonly qos: Qos; readonly payload: string }[] = [];
  readonly acknowledged = new Set<string>();
  readonly unfinished = new Map<number, Exchange>();
  private client: RawClient | undefined;
  private seen = 0;
  /** On this connection, the ids whose PUBACK or PUBREC is to come, in the order of their PUBLISH. */
  private awaited: number[] = [];
  private readonly retired: RawClient[] = [];
  private count = 0;

  async connect(broker: Broker): Promise<void> {
    const client = new RawClient(broker.port);
    client.greet('a1', { clean: false, clientId: 'one' });
    await until('CONNACK', () => client.of('connack').length === 1);
    if (this.client) this.retired.push(this.client);
    this.client = client;
    this.seen = 0;
    this.awaited = [];
    for (const exchange of this.unfinished.values()) {
      if (exchange.released) client.send({ cmd: 'pubrel', messageId: exchange.id });
      else this.send(exchange.qos, exchange.payload, exchange.id, true);
    }
  }

  /** Ends the connection without a word. The broker may not have noticed when the next one comes. */
  drop(): void {
    this.read();
    this.client?.end();
  }

  publish(qos: Qos): void {
    this.count += 1;
    const payload = `{"n":${this.count}}`;
    this.published.push({ qos, payload });
    let id = 1;
    while (this.unfinished.has(id)) id += 1;
    if (qos !== 0) this.unfinished.set(id, { id, qos, payload, released: false });
    this.send(qos, payload, id, false);
  }

  /** Takes in what the broker answered, and checks its order. */
  read(): void {
    const packets = this.client?.packets ?? [];
    for (; this.seen < packets.length; this.seen += 1) {
      const packet = packets[this.seen];
      if (packet) this.answer(packet);
    }
  }

  end(): void {
    for (const client of [...this.retired, this.client]) client?.end();
  }

  private answer({ cmd, messageId = 0 }: Packet): void {
    if (cmd === 'puback' || cmd === 'pubrec') {
      expect(messageId, `${cmd} out of order`).to.equal(this.awaited.shift());
      const exchange = this.unfinished.get(messageId);
      if (!exchange) throw new Error(`${cmd} of ${messageId}, which is not unfinished`);
      this.acknowledged.add(exchange.payload);
      if (cmd === 'puback') this.unfinished.delete(messageId);
      else {
        exchange.released = true;
        this.client?.send({ cmd: 'pubrel', messageId });
      }
    }
    if (cmd === 'pubcomp') this.unfinished.delete(messageId);
  }

  private send(qos: Qos, payload: string, messageId: number, dup: boolean): void {
    if (qos !== 0) this.awaited.push(messageId);
    const publish = { cmd: 'publish', topic: topicOf('a1'), payload, qos, dup, retain: false } as const;
    this.client?.send(qos === 0 ? publish : { ...publish, messageId });
  }
}

/** Everything that is in the queue. */
async function contents(queue: Queue): Promise<Publish[]> {
  const found: Publish[] = [];
  const consumer = await queue.consume(async ({ body }) => void found.push(...decodeBatch(body).publishes), {
    prefetch: 100,
  });
  await until('the queue is empty', async () => (await queue.depth()) === 0);
  await consumer.stop();
  return found;
}

const STEPS = [
  'publish 0',
  'publish 1',
  'publish 2',
  'hold',
  'let one go',
  'let go reversed',
  'refuse',
  'accept',
] as const;
const LINES = ['come back', 'take over', 'read', 'wait'] as const;
type Step = (typeof STEPS)[number] | (typeof LINES)[number];

/** One step in the life of a sensor, its connection, and the queue. */
async function take(step: Step, sensor: Sensor, valve: Valve, broker: Broker): Promise<void> {
  switch (step) {
    case 'publish 0':
      return sensor.publish(0);
    case 'publish 1':
      return sensor.publish(1);
    case 'publish 2':
      return sensor.publish(2);
    case 'hold':
      return valve.hold();
    case 'let one go':
      return valve.letGoOldest();
    case 'let go reversed':
      return valve.letGo('reversed');
    case 'refuse':
      return valve.refuse('unavailable');
    case 'accept':
      return valve.accept();
    case 'come back':
      sensor.drop();
      return await sensor.connect(broker);
    case 'take over':
      sensor.read();
      return await sensor.connect(broker);
    case 'read':
      return sensor.read();
    case 'wait':
      // Long enough for a batch to leave, and for its confirm to come.
      await new Promise((resolve) => setTimeout(resolve, 10));
      return sensor.read();
  }
}

async function live(steps: readonly Step[]): Promise<{ sensor: Sensor; kept: Publish[]; sentAgain: number }> {
  const queue = await openLmdbQueue(await temporaryFolder());
  const valve = new Valve(queue);
  const broker = await startBroker(valve);
  const sensor = new Sensor();
  try {
    await sensor.connect(broker);
    for (const step of steps) await take(step, sensor, valve, broker);
    valve.accept();
    valve.letGo();
    await sensor.connect(broker);
    await until('every exchange is over', () => {
      sensor.read();
      return sensor.unfinished.size === 0;
    });
    await until('nothing is on its way', () => broker.held.publishes === 0);
    return { sensor, kept: await contents(queue), sentAgain: broker.counters.sentAgain };
  } finally {
    sensor.end();
    await broker.stop(2_000);
    await queue.close();
  }
}

describe('the publishes of a session, in any order of publish, confirm, refusal, reconnect, takeover and resend', function () {
  this.timeout(120_000);
  const step = fc.oneof(
    { weight: 6, arbitrary: fc.constantFrom<Step>('publish 1', 'publish 2', 'publish 0') },
    { weight: 5, arbitrary: fc.constantFrom<Step>(...STEPS.slice(3), ...LINES) },
  );

  it('are acknowledged in their order, kept once, and each under a receipt of its own', async () => {
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const { sensor, kept } = await live(steps);
        const copies = new Map<string, Publish[]>();
        for (const publish of kept) {
          const payload = Buffer.from(publish.payload).toString();
          copies.set(payload, [...(copies.get(payload) ?? []), publish]);
        }
        for (const { qos, payload } of sensor.published) {
          const count = copies.get(payload)?.length ?? 0;
          if (qos === 0) expect(count, `${payload} at QoS 0`).to.be.at.most(1);
          else expect(count, `${payload} at QoS ${qos}`).to.equal(1);
        }
        expect(new Set(kept.map(({ received }) => received)).size).to.equal(kept.length);
        // The first receipt stays, however often a publish is sent again: so receipts are in the order of the first sending.
        const asked = sensor.published.filter(({ qos }) => qos !== 0).map(({ payload }) => payload);
        expect(asked.map((payload) => copies.get(payload)?.[0]?.received ?? 0)).to.deep.equal(
          asked.map((payload) => copies.get(payload)?.[0]?.received ?? 0).sort((a, b) => a - b),
        );
      }),
      { numRuns: 40 },
    );
  });

  it('keep their first receipt when they are sent again before they are acknowledged', async () => {
    const { sensor, kept, sentAgain } = await live(['hold', 'publish 1', 'publish 2', 'wait', 'come back', 'wait']);
    expect(sentAgain).to.be.at.least(2);
    expect(kept.map(({ payload }) => Buffer.from(payload).toString())).to.deep.equal(
      sensor.published.map(({ payload }) => payload),
    );
  });

  describe('one that is sent again', () => {
    let queue: Queue;
    let valve: Valve;
    let broker: Broker;
    const clients: RawClient[] = [];

    beforeEach(async () => {
      queue = await openLmdbQueue(await temporaryFolder());
      valve = new Valve(queue);
      broker = await startBroker(valve);
    });
    afterEach(async () => {
      for (const client of clients.splice(0)) client.end();
      await broker.stop(2_000);
      await queue.close();
    });

    async function connect(clean = false): Promise<RawClient> {
      const client = new RawClient(broker.port);
      clients.push(client);
      client.greet('a1', { clean, clientId: 'one' });
      await until('CONNACK', () => client.of('connack').length === 1);
      return client;
    }
    async function leave(client: RawClient): Promise<void> {
      client.end();
      await until('the broker has seen it go', () => broker.clients === 0);
    }
    const send = (client: RawClient, dup: boolean, qos: 1 | 2 = 1) =>
      client.send({ cmd: 'publish', topic: topicOf('a1'), payload: '21.5', qos, dup, retain: false, messageId: 1 });
    const acknowledged = (client: RawClient, count = 1) =>
      until('PUBACK', () => client.of('puback').length + client.of('pubrec').length === count);

    for (const qos of [1, 2] as const) {
      it(`keeps its first receipt when it was given up meanwhile, at QoS ${qos}`, async () => {
        valve.refuse('unavailable');
        const first = await connect();
        send(first, false, qos);
        await until('it was tried', () => valve.tried > 0);
        await leave(first);
        await until('it is given up', () => broker.counters.givenUp === 1);
        const later = Date.now();
        valve.accept();
        const second = await connect();
        send(second, true, qos);
        await acknowledged(second);
        const [kept, ...more] = await contents(queue);
        expect(kept?.received).to.be.below(later);
        expect(more).to.deep.equal([]);
      });
    }

    it('is known by its DUP flag when its PUBACK was lost with the connection', async () => {
      const first = await connect();
      send(first, false);
      await acknowledged(first);
      await leave(first);
      const second = await connect();
      send(second, true);
      await acknowledged(second);
      expect(await contents(queue)).to.have.length(1);
    });

    it('is another publish without the DUP flag, once PUBACK was sent: some clients use one id for all', async () => {
      const first = await connect();
      send(first, false);
      await acknowledged(first);
      send(first, false);
      await acknowledged(first, 2);
      await leave(first);
      const second = await connect();
      send(second, false);
      await acknowledged(second);
      const receipts = (await contents(queue)).map(({ received }) => received);
      expect(new Set(receipts).size).to.equal(3);
    });

    it('has another receipt in another session, for that one knows nothing of it', async () => {
      valve.hold();
      const first = await connect(true);
      send(first, false);
      await until('it is on its way', () => valve.heldNow === 1);
      await leave(first);
      valve.pass();
      const second = await connect(true);
      send(second, true);
      await acknowledged(second);
      valve.letGo();
      const receipts = (await contents(queue)).map(({ received }) => received);
      expect(new Set(receipts).size).to.equal(2);
    });

    it('is taken on no connection that another one has taken the session from', async () => {
      const first = await connect();
      const second = await connect();
      send(first, false);
      send(second, false);
      await acknowledged(second);
      expect(first.of('puback')).to.have.length(0);
      expect(await contents(queue)).to.have.length(1);
    });
  });
});
