import { connect as connectTcp, type Socket } from 'node:net';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect } from 'chai';
import mqttPacket from 'mqtt-packet';
import type { Consumer, Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import type { BrokerLimits } from '../../broker/limits.ts';
import { decodeBatch } from '../../telemetry/batch.ts';
import { startProxy } from '../services/proxy.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { publishPacket, RawClient, startBroker, topicOf } from './harness.ts';
import { dice, mutated } from './mutations.ts';

const SEED = 20_261;
const PACKETS = 10_000;
const COMMANDS = 'farms/north/sensors/a1/commands';
/** Hostile connections at a time. */
const AT_ONCE = 40;

setFlagsFromString('--expose-gc');
const collectGarbage: unknown = runInNewContext('gc');

/** Bytes of heap in use after everything that can go has gone. */
function heap(): number {
  if (typeof collectGarbage === 'function') collectGarbage();
  return process.memoryUsage().heapUsed;
}

describe('the broker among hostile clients', function () {
  this.timeout(120_000);
  let queue: Queue;
  let consumer: Consumer;
  let broker: Broker;
  let honest: Honest[];
  const kept = new Map<string, number[]>();

  beforeEach(async () => {
    kept.clear();
    queue = await openFileQueue(await temporaryFolder());
    consumer = await queue.consume(
      async ({ body }) => {
        for (const { sensor, payload } of decodeBatch(body).publishes) {
          const text = Buffer.from(payload).toString();
          if (text.startsWith('{"honest":'))
            kept.set(sensor, [...(kept.get(sensor) ?? []), Number(text.slice(10, -1))]);
        }
      },
      { prefetch: 4 },
    );
  });
  afterEach(async () => {
    for (const client of honest) client.end();
    await broker.stop(2_000);
    await consumer.stop();
    await queue.close();
  });

  async function start(limits: Partial<BrokerLimits> = {}): Promise<void> {
    broker = await startBroker(queue, { limits });
    honest = [new Honest(broker.port, 'a2', 'north'), new Honest(broker.port, 'b1', 'south')];
    for (const client of honest) await client.next();
  }

  /** Every honest client still has its first connection, goes on, and all it was told is in the queue, once and in order. */
  async function honestAreUnharmed(): Promise<void> {
    for (const client of honest) await client.next();
    for (const client of honest) client.halt();
    for (const { sensor, connection, acknowledged } of honest) {
      expect(connection.closed, sensor).to.equal(false);
      await until('all of it is kept', () => (kept.get(sensor)?.length ?? 0) >= acknowledged());
      expect(kept.get(sensor)?.slice(0, acknowledged())).to.deep.equal(
        Array.from({ length: acknowledged() }, (_, i) => i + 1),
      );
    }
  }

  it(`takes ${PACKETS} mutated packets: no crash, nothing left behind, honest clients unharmed`, async () => {
    await start({ connectMs: 2_000, refusedPublishes: 1_000_000, connections: 500 });
    const roll = dice(SEED);
    let sent = 0;
    let settled = 0;
    const attack = async (until: number): Promise<void> => {
      while (sent < until) {
        const greeted = roll() < 0.7;
        const count = 1 + Math.floor(roll() * 5);
        sent += count;
        await assault(
          broker.port,
          greeted,
          Array.from({ length: count }, () => mutated(roll)),
          roll() < 0.5,
        );
        settled += count;
      }
    };
    const attackTo = (until: number) => Promise.all(Array.from({ length: AT_ONCE }, () => attack(until)));
    await attackTo(PACKETS / 2);
    await until('they are gone', () => broker.held.connections === honest.length);
    const between = heap();
    await attackTo(PACKETS);
    await until('they are gone', () => broker.held.connections === honest.length);
    expect(settled).to.be.at.least(PACKETS);
    await honestAreUnharmed();
    await until('nothing of theirs is held', () => broker.held.publishes === 0 && broker.held.waitingBytes === 0);
    expect(broker.held.sessionsAsleep).to.be.at.most(8);
    expect(broker.counters.malformed).to.be.above(PACKETS / 20);
    // As much again came in: what stayed of it would be seen.
    await until('what it took is free again', () => heap() - between < 8 * 1024 ** 2);
  });

  it('ends connections that say nothing, begin and never finish, or drip byte by byte', async () => {
    await start({ connectMs: 500 });
    const connect = mqttPacket.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: 'slow',
      clean: true,
      keepalive: 60,
      username: 'a1',
      password: Buffer.from('secret-a1'),
    });
    const idle = Array.from({ length: 100 }, (_, i) => new Loris(broker.port, connect.subarray(0, i % 20), 0));
    const drip = Array.from({ length: 100 }, () => new Loris(broker.port, connect.subarray(0, -1), 40));
    await until('all are closed', () => [...idle, ...drip].every((loris) => loris.closed));
    expect(broker.counters.accepted).to.equal(honest.length);
    await honestAreUnharmed();
  });

  it('ends connections that fall silent after CONNECT, at one and a half times their keepalive', async () => {
    await start();
    const silent = Array.from({ length: 50 }, (_, i) => {
      const client = new RawClient(broker.port);
      client.greet('a1', { clientId: `s${i}`, keepalive: 1 });
      // Half a publish, so that the broker waits for the rest.
      client.socket.write(mqttPacket.generate(publishPacket(topicOf('a1'), '{}', 1)).subarray(0, 10 + (i % 10)));
      return client;
    });
    await until('all are closed', () => silent.every((client) => client.closed));
    await until('they are gone', () => broker.held.connections === honest.length);
    await until('nothing of theirs is held', () => broker.held.waitingBytes === 0);
    await honestAreUnharmed();
  });

  it('ends connections whose line goes dead without a word: their wills are published, their sessions kept, and others go on', async () => {
    await start();
    const line = await startProxy(broker.port);
    const clients: RawClient[] = [];
    const through = async (clientId: string, keepalive: number): Promise<RawClient> => {
      const client = new RawClient(line.port);
      clients.push(client);
      const will = { topic: topicOf('a1'), payload: Buffer.from('{"honest":0}'), qos: 1 as const, retain: false };
      client.greet('a1', { clientId, clean: false, keepalive, will });
      const subscriptions = [{ topic: COMMANDS, qos: 1 as const }];
      client.send({ cmd: 'subscribe', messageId: 1, subscriptions }, { cmd: 'pingreq' });
      await until('it is in the middle of a session', () => client.of('pingresp').length === 1);
      return client;
    };
    const patient = await through('patient', 600);
    const partial = await through('partial', 3);
    const idle = await through('idle', 3);
    partial.socket.write(mqttPacket.generate(publishPacket(topicOf('a1'), '{"honest":9}', 2)).subarray(0, 20));
    await until('half a packet has come', () => broker.held.waitingBytes > 0);
    line.freeze();
    const sent = broker.subscribers.hearing('north', 'a1')[0]?.send('k1', COMMANDS, Buffer.from('open'));

    await until('the two that had to speak are gone', () => broker.counters.closedSilent === 2);
    await until('so are their wills', () => kept.get('a1')?.length === 2);
    expect(kept.get('a1')).to.deep.equal([0, 0]);
    expect(broker.clients).to.equal(honest.length + 1);
    expect([idle, partial, patient].map(({ closed }) => closed)).to.deep.equal([false, false, false]);
    await honestAreUnharmed();
    expect(broker.held).to.include({ sessionsAsleep: 2, waitingBytes: 0 });

    const back = new RawClient(broker.port);
    clients.push(back);
    back.greet('a1', { clientId: 'idle', clean: false });
    await until('what it was sent last comes again', () => back.of('publish').length === 1);
    expect(back.packets).to.deep.include.members([{ ...back.of('connack')[0], sessionPresent: true, returnCode: 0 }]);
    const [again] = back.of('publish');
    expect(again).to.include({ topic: COMMANDS, dup: true });
    back.send({ cmd: 'puback', messageId: again?.messageId ?? 0 });
    expect(await sent).to.equal('acknowledged');
    for (const client of clients) client.end();
    await line.close();
  });

  it('does not buffer oversized packets, however many connections announce them', async () => {
    await start({ connectMs: 2_000 });
    const before = heap();
    const big = Buffer.alloc(256 * 1024, 'x');
    const greedy = Array.from({ length: 100 }, (_, i) => {
      const client = new RawClient(broker.port);
      if (i % 2 === 0) client.greet('a1', { clientId: `g${i}` });
      client.socket.write(Buffer.from([i % 2 === 0 ? 0x82 : 0x10, 0xff, 0xff, 0xff, 0x7f]));
      client.socket.write(big);
      return client;
    });
    await until('all are closed', () => greedy.every((client) => client.closed));
    expect(broker.counters.oversize).to.equal(100);
    expect(broker.held.waitingBytes).to.be.below(1024 ** 2);
    await until('what it took is free again', () => heap() - before < 8 * 1024 ** 2);
    await honestAreUnharmed();
  });
});

/** A client that keeps the rules: one publish after another, each when the one before is acknowledged. */
class Honest {
  readonly sensor: string;
  readonly connection: RawClient;
  private readonly farm: string;
  private going = true;
  private sent = 0;

  constructor(port: number, sensor: string, farm: string) {
    this.sensor = sensor;
    this.farm = farm;
    this.connection = new RawClient(port);
    this.connection.greet(sensor, { clientId: 'honest' });
    this.connection.socket.on('data', () => this.goOn());
  }

  acknowledged = (): number => this.connection.pubacks.length;

  /** Resolves when one more publish than now is acknowledged. */
  async next(): Promise<void> {
    const before = this.acknowledged();
    await until(`${this.sensor} is acknowledged`, () => this.acknowledged() > before);
  }

  halt(): void {
    this.going = false;
  }

  end(): void {
    this.connection.end();
  }

  private goOn(): void {
    if (!this.going || this.connection.of('connack').length === 0 || this.sent > this.acknowledged()) return;
    this.sent += 1;
    this.connection.publish(topicOf(this.sensor, this.farm), `{"honest":${this.sent}}`, ((this.sent - 1) % 65_535) + 1);
  }
}

/** Connects, perhaps says a proper CONNECT, sends what it is given, and leaves, politely or not. Resolves when the connection is over. */
function assault(port: number, greeted: boolean, packets: Buffer[], polite: boolean): Promise<void> {
  return new Promise((resolve) => {
    const client = new RawClient(port);
    if (greeted) client.greet('a1', { clientId: `h${packets.length}` });
    client.socket.on('close', () => resolve());
    client.socket.write(Buffer.concat(packets), () => {
      if (polite) client.socket.end();
      else setTimeout(() => client.socket.resetAndDestroy(), 5);
    });
  });
}

/** Sends the bytes one at a time, `everyMs`; all at once when that is 0. Never more. */
class Loris {
  closed = false;

  constructor(port: number, bytes: Buffer, everyMs: number) {
    const socket: Socket = connectTcp({ port, host: '127.0.0.1' });
    let at = 0;
    const timer = setInterval(() => {
      if (everyMs > 0 && at < bytes.length) socket.write(bytes.subarray(at, at + 1));
      at += 1;
    }, everyMs || 1_000);
    if (everyMs === 0 && bytes.length > 0) socket.write(bytes);
    socket.on('error', () => {});
    socket.on('close', () => {
      clearInterval(timer);
      this.closed = true;
    });
  }
}
