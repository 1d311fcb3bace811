import { expect } from 'chai';
import fc from 'fast-check';
import type { Packet } from 'mqtt-packet';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import { pause } from '../../core/timing.ts';
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
  /** How often each was sent. */
  readonly sent = new Map<string, number>();
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

  get isClosed(): boolean {
    return this.client?.closed ?? true;
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
    this.sent.set(payload, (this.sent.get(payload) ?? 0) + 1);
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
const LINES = ['come back', 'take over', 'read', 'wait', 'time out', 'restart'] as const;
type Step = (typeof STEPS)[number] | (typeof LINES)[number];
/** A client whose publish is not confirmed for so long is closed. */
const HOLD_MS = 100;

/** A sensor, its broker, and the queue behind it. */
class World {
  readonly sensor = new Sensor();
  readonly queue: Queue;
  readonly valve: Valve;
  broker: Broker;
  restarts = 0;

  private constructor(queue: Queue, valve: Valve, broker: Broker) {
    this.queue = queue;
    this.valve = valve;
    this.broker = broker;
  }

  static async open(): Promise<World> {
    const queue = await openFileQueue(await temporaryFolder());
    const valve = new Valve(queue);
    return new World(queue, valve, await startBroker(valve, { limits: { holdMs: HOLD_MS } }));
  }

  async take(step: Step): Promise<void> {
    const { sensor, valve } = this;
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
        return await sensor.connect(this.broker);
      case 'take over':
        sensor.read();
        return await sensor.connect(this.broker);
      case 'read':
        return sensor.read();
      case 'wait':
        // Long enough for a batch to leave, and for its confirm to come.
        await pause(10);
        return sensor.read();
      case 'time out':
        // Long enough for a client to be closed whose publish is not confirmed, and for what nobody waits for to be dropped.
        await pause(2 * HOLD_MS);
        sensor.read();
        return await sensor.connect(this.broker);
      case 'restart':
        return await this.restart();
    }
  }

  /** A broker that is restarted knows no session. */
  async restart(): Promise<void> {
    await this.broker.stop(50);
    this.sensor.read();
    this.restarts += 1;
    this.broker = await startBroker(this.valve, { limits: { holdMs: HOLD_MS } });
    await this.sensor.connect(this.broker);
  }

  /** Lets everything come to its end. */
  async settle(): Promise<void> {
    this.valve.accept();
    this.valve.letGo();
    await this.sensor.connect(this.broker);
    await until('every exchange is over', async () => {
      this.sensor.read();
      // The queue may take a moment to be tried again: a client that was held too long meanwhile is closed, and comes back.
      if (this.sensor.isClosed) await this.sensor.connect(this.broker);
      return this.sensor.unfinished.size === 0;
    });
    await until('nothing is on its way', () => this.broker.held.publishes === 0);
  }

  async close(): Promise<void> {
    this.sensor.end();
    await this.broker.stop(2_000);
    await this.queue.close();
  }
}

async function live(steps: readonly Step[]) {
  const world = await World.open();
  try {
    await world.sensor.connect(world.broker);
    for (const step of steps) await world.take(step);
    await world.settle();
    const { sensor, restarts, broker } = world;
    return { sensor, restarts, kept: await contents(world.queue), sentAgain: broker.counters.sentAgain };
  } finally {
    await world.close();
  }
}

describe('the publishes of a session, in any order of publish, confirm, refusal, time-out, reconnect, takeover, resend and restart', function () {
  this.timeout(120_000);
  const anyOf = (lines: readonly Step[]) =>
    fc.oneof(
      { weight: 6, arbitrary: fc.constantFrom<Step>('publish 1', 'publish 2', 'publish 0') },
      { weight: 5, arbitrary: fc.constantFrom<Step>(...STEPS.slice(3), ...lines) },
    );
  const copiesIn = (kept: readonly Publish[]) => {
    const copies = new Map<string, Publish[]>();
    for (const publish of kept) {
      const payload = Buffer.from(publish.payload).toString();
      copies.set(payload, [...(copies.get(payload) ?? []), publish]);
    }
    return copies;
  };

  it('are acknowledged in their order, kept once, and each under a receipt of its own', async () => {
    const step = anyOf(LINES.filter((line) => line !== 'restart'));
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 40 }), async (steps) => {
        const { sensor, kept } = await live(steps);
        const copies = copiesIn(kept);
        for (const { qos, payload } of sensor.published) {
          const count = copies.get(payload)?.length ?? 0;
          if (qos === 0) expect(count, `${payload} at QoS 0`).to.be.at.most(1);
          // With QoS 1 a PUBACK that is lost with its connection makes a second one, as MQTT has it.
          else
            expect(count, `${payload} at QoS ${qos}`).to.be.within(1, qos === 2 ? 1 : (sensor.sent.get(payload) ?? 0));
        }
        expect(new Set(kept.map(({ received }) => received)).size).to.equal(kept.length);
        // The first receipt stays, however often a publish is sent again: so receipts are in the order of the first sending.
        const asked = sensor.published.filter(({ qos }) => qos !== 0).map(({ payload }) => payload);
        const receipts = asked.map((payload) => copies.get(payload)?.[0]?.received ?? 0);
        expect(receipts).to.deep.equal([...receipts].sort((a, b) => a - b));
      }),
      { numRuns: 30 },
    );
  });

  it('are all kept when the broker is restarted among them, which knows no session then', async () => {
    const step = anyOf([...LINES, 'restart', 'restart']);
    await fc.assert(
      fc.asyncProperty(fc.array(step, { minLength: 5, maxLength: 30 }), async (steps) => {
        const { sensor, kept } = await live(steps);
        const copies = copiesIn(kept);
        for (const { qos, payload } of sensor.published) {
          const count = copies.get(payload)?.length ?? 0;
          expect(count, payload).to.be.within(qos === 0 ? 0 : 1, Math.max(sensor.sent.get(payload) ?? 0, 1));
        }
        for (const payload of sensor.acknowledged) expect(copies.has(payload), payload).to.equal(true);
      }),
      { numRuns: 15 },
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
      queue = await openFileQueue(await temporaryFolder());
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

    it('is another publish once PUBACK was sent, also with the DUP flag: some clients use one id for all [MQTT-4.3.2-2]', async () => {
      const first = await connect();
      send(first, false);
      await acknowledged(first);
      send(first, true);
      await acknowledged(first, 2);
      await leave(first);
      const second = await connect();
      send(second, true);
      await acknowledged(second);
      const receipts = (await contents(queue)).map(({ received }) => received);
      expect(new Set(receipts).size).to.equal(3);
    });

    for (const qos of [1, 2] as const) {
      it(`is another publish without the DUP flag, at QoS ${qos}: a client that sleeps may begin with the same id each time`, async () => {
        valve.hold();
        const first = await connect();
        send(first, false, qos);
        await until('it is on its way', () => valve.heldNow === 1);
        await leave(first);
        valve.pass();
        const second = await connect();
        send(second, false, qos);
        await acknowledged(second);
        valve.letGo();
        const receipts = (await contents(queue)).map(({ received }) => received);
        expect(new Set(receipts).size).to.equal(2);
      });
    }

    it('is another publish when it has other bytes, however like they look', async () => {
      const first = await connect();
      const begin = (client: RawClient, payload: string, dup: boolean) =>
        client.send({ cmd: 'publish', topic: topicOf('a1'), payload, qos: 2, dup, retain: false, messageId: 1 });
      // These two have the same CRC-32.
      begin(first, '{"crc":58062682}', false);
      await acknowledged(first);
      await leave(first);
      const second = await connect();
      begin(second, '{"crc":43687437}', true);
      await acknowledged(second);
      expect(await contents(queue)).to.have.length(2);
    });

    it('is no longer known past a limit over all sessions, where a client that begins one more with QoS 2 is closed', async () => {
      await broker.stop(1_000);
      broker = await startBroker(valve, { limits: { knownPublishes: 3 } });
      const client = await connect();
      for (let messageId = 1; messageId <= 4; messageId++) {
        client.send({
          cmd: 'publish',
          topic: topicOf('a1'),
          payload: '1',
          qos: 2,
          dup: false,
          retain: false,
          messageId,
        });
        await until('an answer', () => client.of('pubrec').length === messageId || client.closed);
      }
      await until('the socket is closed', () => client.closed);
      // The session that goes on still counts; when it ends, there is room again.
      const next = await connect(true);
      send(next, false, 2);
      await acknowledged(next);
      expect(await contents(queue)).to.have.length(4);
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
