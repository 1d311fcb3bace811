import { once } from 'node:events';
import { connect as connectTcp, type Socket } from 'node:net';
import { expect } from 'chai';
import mqtt, { type IClientOptions, type MqttClient } from 'mqtt';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker } from '../../broker/broker.ts';
import type { BrokerLimits } from '../../broker/limits.ts';
import { silent } from '../../core/logger.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { authority, type Papers, signed, writePapers } from './certificates.ts';
import { FARMS, RawClient, topicOf } from './harness.ts';

const WAYS = ['mqtt', 'mqtts', 'ws', 'wss'] as const;
type Way = (typeof WAYS)[number];
const PINGREQ = Buffer.from([0xc0, 0]);

describe('the room of connections whose client is not let in', () => {
  let queue: Queue;
  let broker: Broker;
  let ca: Papers;
  let server: Papers;
  const sockets = new Set<{ destroy(): unknown }>();

  before(async () => {
    queue = await openFileQueue(await temporaryFolder());
    ca = await authority();
    server = await signed('broker', ca);
  });
  afterEach(async () => {
    attacking = false;
    for (const socket of sockets) socket.destroy();
    sockets.clear();
    await broker.stop(2_000);
  });
  after(() => queue.close());

  async function start(limits: Partial<BrokerLimits>): Promise<void> {
    const certificate = await writePapers(await temporaryFolder(), server, ca);
    const ports = { port: 0, tlsPort: 0, wsPort: 0, wssPort: 0 };
    const all = { host: '127.0.0.1', ...ports, certificate, queue, registry: new Book(FARMS), log: silent };
    broker = new Broker({ ...all, limits });
    await broker.start();
  }
  const portOf = (way: Way): number => broker.ports[way] ?? 0;

  let attacking = false;
  /** Connections that say nothing, `count` at a time from each of `addresses`; one that is closed is made again. */
  function attack(way: Way, addresses: number, count: number): void {
    attacking = true;
    const hold = (from: number): void => {
      if (!attacking) return;
      const socket = silence(way, `127.0.1.${from}`);
      socket.once('close', () => setTimeout(hold, 20, from));
    };
    for (let from = 1; from <= addresses; from++) for (let i = 0; i < count; i++) hold(from);
  }
  function silence(way: Way, localAddress = '127.0.0.1'): Socket {
    const socket = connectTcp({ port: portOf(way), host: '127.0.0.1', localAddress });
    sockets.add(socket);
    socket.on('error', () => {});
    socket.once('close', () => sockets.delete(socket));
    return socket;
  }
  async function sensor(way: Way, options: IClientOptions = {}): Promise<MqttClient> {
    const given = { username: 'a1', password: 'secret-a1', reconnectPeriod: 0, connectTimeout: 5_000, ca: ca.cert };
    const client = await mqtt.connectAsync(`${way}://127.0.0.1:${portOf(way)}/mqtt`, { ...given, ...options }, false);
    client.on('error', () => {});
    sockets.add({ destroy: () => client.end(true) });
    return client;
  }

  for (const way of WAYS) {
    it(`${way}: a sensor gets in while four addresses, and then forty, hold silent connections and make them again`, async () => {
      await start({ greetings: 40, connections: 60 });
      for (const addresses of [4, 40]) {
        attack(way, addresses, 200 / addresses);
        await until('the room is full', () => broker.held.greetings >= 40);
        for (let i = 0; i < 5; i++) {
          const client = await sensor(way);
          await client.publishAsync(topicOf('a1'), '{"n":1}', { qos: 1 });
          client.end(true);
        }
        attacking = false;
        for (const socket of sockets) socket.destroy();
        await until('they are gone', () => broker.held.connections === 0);
      }
      expect(broker.counters.evictedGreetings).to.be.greaterThan(0);
    });

    it(`${way}: who says nothing is closed in time`, async () => {
      await start({ connectMs: 300 });
      await once(silence(way), 'close');
      expect(broker.counters.lateGreetings + broker.counters.refusedTls).to.be.greaterThan(0);
      await until('it is forgotten', () => broker.held.connections === 0 && broker.held.greetings === 0);
    });
  }

  it('takes no place from clients that are let in: as many as may be get in, and stay', async () => {
    await start({ greetings: 10, connections: 30 });
    attack('mqtt', 4, 20);
    await until('the room is full', () => broker.held.greetings >= 10);
    const clients: MqttClient[] = [];
    for (let i = 0; i < 29; i++) clients.push(await sensor('mqtt', { clientId: `c${i}` }));
    await until('more silent ones come', () => broker.counters.evictedGreetings > 100);
    expect(broker.clients).to.equal(29);
    expect(clients.every(({ connected }) => connected)).to.equal(true);
    clients.push(await sensor('mqtt', { clientId: 'last' }));
    expect(broker.clients).to.equal(30);
  });

  it('ends the one that has waited longest, of the address with most', async () => {
    await start({ greetings: 5 });
    const alone = silence('mqtt', '127.0.1.1');
    await once(alone, 'connect');
    const others: Socket[] = [];
    for (let i = 0; i < 5; i++) {
      others.push(silence('mqtt', '127.0.1.2'));
      await until('it has come', () => broker.counters.connected === i + 2);
    }
    await until('one was ended', () => broker.counters.evictedGreetings === 1);
    await until('it is the first of the five', () => others[0]?.destroyed);
    expect(others.slice(1).some((other) => other.destroyed)).to.equal(false);
    expect(alone.destroyed).to.equal(false);
  });

  it('does not end clients whose CONNECT has come, of however many that come at once', async () => {
    await start({ greetings: 20 });
    const clients = Array.from({ length: 300 }, (_, i) => {
      const client = new RawClient(broker.port);
      sockets.add(client.socket);
      client.greet('a1', { clientId: `c${i}` });
      return client;
    });
    await until('all are let in', () => clients.every((client) => client.of('connack').length === 1));
    expect(broker.clients).to.equal(300);
  });

  it('a flood of pings slows its own connection, and no other', async () => {
    await start({});
    const flood = new RawClient(broker.port);
    sockets.add(flood.socket);
    flood.greet('a2');
    await until('it is let in', () => broker.clients === 1);
    flood.socket.write(Buffer.concat(Array.from({ length: 20_000 }, () => PINGREQ)));
    await until('it is slowed', () => broker.counters.slowedControl > 0);
    const client = await sensor('mqtt');
    await client.publishAsync(topicOf('a1'), '{"n":1}', { qos: 1 });
    expect(flood.of('pingresp').length).to.be.lessThan(6_000);
    expect(flood.closed).to.equal(false);
  });
});
