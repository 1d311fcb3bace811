import { expect } from 'chai';
import type { MqttClient } from 'mqtt';
import mqttPacket, { type IConnectPacket, type QoS } from 'mqtt-packet';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import type { Publish } from '../../telemetry/batch.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { connectAs, FARMS, RawClient, registryOf, startBroker, takeOut, topicOf } from './harness.ts';

/** In place of a username or password: the packet has none. */
const NONE = Symbol('none');
type ConnectChanges = Partial<Omit<IConnectPacket, 'username' | 'password'>> & {
  readonly username?: string | typeof NONE;
  readonly password?: Buffer | typeof NONE;
};
/** Where the flags are in a CONNECT packet shorter than 128 bytes. */
const CONNECT_FLAGS = 9;
const CLEAN_SESSION = 0b10;

describe('who the broker lets in, and what they may do', () => {
  let queue: Queue;
  let broker: Broker;
  let book: Book;
  let refused: { publish: Publish; reason: string }[];
  const clients: (MqttClient | RawClient)[] = [];

  beforeEach(async () => {
    queue = await openFileQueue(await temporaryFolder());
    book = new Book(FARMS);
    refused = [];
    broker = await startBroker(queue, {
      registry: book,
      limits: { unregisteredSensors: 3 },
      onRefused: (publish, reason) => {
        refused.push({ publish, reason });
      },
    });
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true);
    await broker.stop(2_000);
    await queue.close();
  });

  async function mqttAs(sensor: string, options = {}): Promise<MqttClient> {
    const client = await connectAs(broker.port, sensor, options);
    client.on('error', () => {});
    clients.push(client);
    return client;
  }
  function raw(): RawClient {
    const client = new RawClient(broker.port);
    clients.push(client);
    return client;
  }
  async function connackOf(changes: ConnectChanges): Promise<number | undefined> {
    const client = raw();
    const { password = Buffer.from('secret-a1'), username = 'a1', ...rest } = changes;
    const bytes = mqttPacket.generate({
      cmd: 'connect',
      protocolId: 'MQTT',
      protocolVersion: 4,
      clientId: 'x',
      keepalive: 60,
      ...rest,
      clean: true,
      ...(username === NONE ? {} : { username }),
      ...(password === NONE ? {} : { password }),
    });
    // The generator refuses to make a packet that breaks the rule on empty client ids: the flag is cleared by hand.
    if (changes.clean === false) bytes[CONNECT_FLAGS] = (bytes[CONNECT_FLAGS] ?? 0) & ~CLEAN_SESSION;
    client.socket.write(bytes);
    await until('an answer', () => client.of('connack').length > 0 || client.closed);
    const [connack] = client.of('connack');
    return connack?.cmd === 'connack' ? connack.returnCode : undefined;
  }
  const publish = (client: MqttClient, topic: string, qos: 0 | 1 | 2 = 1) => client.publishAsync(topic, '{}', { qos });

  describe('credentials', () => {
    it('are the sensor’s id and its secret', async () => {
      expect(await connackOf({})).to.equal(0);
    });
    it('are the secret alone as username too', async () => {
      expect(await connackOf({ username: 'secret-a1', password: NONE })).to.equal(0);
      expect(await connackOf({ username: 'secret-a1', password: Buffer.alloc(0) })).to.equal(0);
    });
    it('that are wrong are refused and counted', async () => {
      expect(await connackOf({ password: Buffer.from('secret-a2') })).to.equal(4);
      expect(await connackOf({ username: 'nobody' })).to.equal(4);
      expect(await connackOf({ username: 'a1', password: NONE })).to.equal(4);
      expect(await connackOf({ username: NONE, password: NONE })).to.equal(4);
      expect(broker.counters.refusedCredentials).to.equal(4);
      expect(broker.clients).to.equal(0);
    });
    it('end with the registry: a sensor that was removed or has a new secret is disconnected, nobody else', async () => {
      const [one, two, other] = [await mqttAs('a1'), await mqttAs('a2'), await mqttAs('b1')];
      book.change(registryOf({ a1: null, a2: 'another' }));
      await until('both are gone', () => !one.connected && !two.connected);
      expect(other.connected).to.equal(true);
      expect(await connackOf({})).to.equal(4);
      expect(await connackOf({ username: 'a2', password: Buffer.from('another') })).to.equal(0);
    });
  });

  describe('CONNECT', () => {
    it('without a client id is taken for a clean session only [MQTT-3.1.3-8]', async () => {
      expect(await connackOf({ clientId: '', clean: true })).to.equal(0);
      expect(await connackOf({ clientId: '', clean: false })).to.equal(2);
    });
    it('with a control character in a text is closed', async () => {
      for (const text of ['a\u0000b', 'a\u0007b', 'a\u009fb']) {
        expect(await connackOf({ clientId: text })).to.equal(undefined);
        expect(await connackOf({ username: text })).to.equal(undefined);
      }
    });
    it('of another protocol version is answered with code 1', async () => {
      expect(await connackOf({ protocolVersion: 5 })).to.equal(1);
    });
    it('may carry a will to one’s own telemetry topic, and no other', async () => {
      const will = (topic: string, qos: QoS) => ({
        will: { topic, payload: Buffer.from('{}'), qos, retain: false },
      });
      expect(await connackOf(will(topicOf('a1'), 1))).to.equal(0);
      expect(await connackOf(will(topicOf('a1'), 2))).to.equal(0);
      expect(await connackOf(will(topicOf('a2'), 0))).to.equal(5);
      expect(await connackOf(will('farms/+/sensors/#', 0))).to.equal(5);
      expect(
        await connackOf({ will: { topic: topicOf('a1'), payload: Buffer.alloc(5_000), qos: 0 as const } }),
      ).to.equal(5);
    });
    it('that never comes is waited for no longer than the limit', async () => {
      await broker.stop(2_000);
      broker = await startBroker(queue, { registry: book, limits: { connectMs: 300 } });
      const client = raw();
      // Less than the limit that is usual.
      await until('the socket is closed', () => client.closed, { timeoutMs: 8_000 });
    });
    it('naming another’s client id takes nothing over', async () => {
      const owner = await mqttAs('a1', { clientId: 'meter' });
      const thief = await mqttAs('b1', { clientId: 'meter' });
      await publish(thief, topicOf('b1', 'south'));
      await publish(owner, topicOf('a1'));
      expect(owner.connected).to.equal(true);
      await takeOut(queue, 2);
    });
    it('with one’s own client id takes over one’s own session', async () => {
      const first = await mqttAs('a1', { clientId: 'meter' });
      await mqttAs('a1', { clientId: 'meter' });
      await until('the first is closed', () => !first.connected);
    });
  });

  describe('publishing', () => {
    it('to another’s topic is acknowledged, dropped, counted and told, and nobody is disconnected', async () => {
      const client = await mqttAs('a1');
      const topics = [topicOf('a2'), topicOf('a1', 'south'), 'farms/north/sensors/a1/commands', 'v1/whatever', 'x'];
      for (const topic of topics) await publish(client, topic);
      expect(broker.counters.notAuthorised).to.equal(5);
      expect(refused.map(({ publish, reason }) => [publish.farm, publish.sensor, publish.topic, reason])).to.deep.equal(
        topics.map((topic) => ['north', 'a1', topic, 'not_authorised']),
      );
      await publish(client, topicOf('a1'));
      expect((await takeOut(queue, 1)).map((publish) => publish.topic)).to.deep.equal([topicOf('a1')]);
      expect(await queue.depth()).to.equal(0);
    });
    it('goes by the topics of other systems too: a sensor’s own, and those that a bridge brings', async () => {
      const client = await mqttAs('a1');
      const bridge = await mqttAs('gate');
      const [chirpstack, ttn] = ['application/7/device/a1/event/up', 'v3/app@tenant/devices/a1/up'];
      for (const topic of ['v1/devices/me/telemetry', chirpstack, ttn]) await publish(client, topic);
      const elsewhere = chirpstack.replace('a1', 'b1');
      for (const topic of ['application/7/device/0011223344556677/event/up', ttn, elsewhere])
        await publish(bridge, topic);
      const taken = await takeOut(queue, 6);
      expect(taken.map(({ farm, field, sensor, topic }) => [farm, field, sensor, topic])).to.deep.equal([
        ['north', 'f1', 'a1', 'v1/devices/me/telemetry'],
        ['north', 'f1', 'a1', chirpstack],
        ['north', 'f1', 'a1', ttn],
        ['north', 'unassigned', '0011223344556677', 'application/7/device/0011223344556677/event/up'],
        ['north', 'f1', 'a1', ttn],
        ['north', 'unassigned', 'b1', elsewhere],
      ]);
      for (const topic of [chirpstack, ttn]) await publish(client, topic.replace('a1', 'a2'));
      expect(refused.map(({ reason }) => reason)).to.deep.equal(Array(2).fill('not_authorised'));
    });
    it('to a topic that no batch can carry is refused alone: what others publish beside it is kept', async () => {
      const [long, other] = [await mqttAs('a1'), await mqttAs('b1')];
      for (const form of ['v3/X/devices/a1/up', 'application/X/device/a1/event/up']) {
        const topic = form.replace('X', 'x'.repeat(1_100));
        await Promise.all([
          long.publishAsync(topic, '{}', { qos: 1 }),
          other.publishAsync(topicOf('b1', 'south'), '{"n":1}', { qos: 1 }),
        ]);
        expect(refused.pop()).to.deep.include({ reason: 'not_authorised' });
      }
      const kept = await takeOut(queue, 2);
      expect(kept.map(({ farm }) => farm)).to.deep.equal(['south', 'south']);
    });

    it('to the broker’s own $SYS topics reaches nobody: it would disconnect others', async () => {
      const victim = await mqttAs('a2', { clientId: 'victim' });
      const client = await mqttAs('a1');
      await client.publishAsync('$SYS/elsewhere/new/clients', 'north/a2/victim', { qos: 1 });
      await publish(victim, topicOf('a2'));
      expect(victim.connected).to.equal(true);
      await takeOut(queue, 1);
    });
    it('to a commands topic reaches nobody', async () => {
      const victim = await mqttAs('a2');
      await victim.subscribeAsync('farms/north/sensors/a2/commands');
      let got = 0;
      victim.on('message', () => {
        got += 1;
      });
      const client = await mqttAs('a1');
      await client.publishAsync('farms/north/sensors/a2/commands', 'open the valve', { qos: 1 });
      await publish(victim, topicOf('a2'));
      await takeOut(queue, 1);
      expect(got).to.equal(0);
    });
    it('with a control character in the topic ends the connection', async () => {
      const client = raw();
      client.greet('a1');
      client.publish('farms/north\u0000', '{}', 1);
      await until('the socket is closed', () => client.closed);
      expect(client.pubacks).to.deep.equal([]);
    });
    it('for any id under its farm is a bridge’s right, whatever other farms have, up to a limit for those that it did not register', async () => {
      const bridge = await mqttAs('gate');
      for (const sensor of ['a1', 'a2', 'gate', 'new-1', 'new-2', 'b1', 'b1']) {
        await publish(bridge, topicOf(sensor));
      }
      const taken = await takeOut(queue, 7);
      expect(taken.map(({ sensor, field }) => [sensor, field])).to.deep.equal([
        ['a1', 'f1'],
        ['a2', 'unassigned'],
        ['gate', 'unassigned'],
        ['new-1', 'unassigned'],
        ['new-2', 'unassigned'],
        ['b1', 'unassigned'],
        ['b1', 'unassigned'],
      ]);
      await publish(bridge, topicOf('new-4'));
      await publish(bridge, topicOf('b1', 'south'));
      expect(refused.map(({ reason }) => reason)).to.deep.equal(['too_many_sensors', 'not_authorised']);
      // The farm's quota comes before what is usual, from one publish to the next.
      const quota = (most: number) =>
        FARMS.replace('id: north, name: North,', `id: north, quotas: { unregistered: ${most} }, name: North,`);
      book.change(quota(4));
      for (const sensor of ['new-4', 'new-5']) await publish(bridge, topicOf(sensor));
      expect(await takeOut(queue, 1)).to.have.length(1);
      book.change(quota(0));
      await publish(bridge, topicOf('new-6'));
      expect(refused.map(({ reason }) => reason)).to.deep.equal([
        'too_many_sensors',
        'not_authorised',
        'too_many_sensors',
        'too_many_sensors',
      ]);
    });
    it('with the retain flag keeps nothing in the broker', async () => {
      const client = await mqttAs('a1');
      await client.publishAsync(topicOf('a1'), '{}', { qos: 1, retain: true });
      await client.publishAsync('farms/north/sensors/a2/commands', '{}', { qos: 1, retain: true });
      await takeOut(queue, 1);
      const late = await mqttAs('a2');
      let got = 0;
      late.on('message', () => {
        got += 1;
      });
      await late.subscribeAsync('farms/north/sensors/a2/commands');
      await publish(late, topicOf('a2'));
      await takeOut(queue, 1);
      expect(got).to.equal(0);
    });
    it('is done by a will when its client goes without DISCONNECT', async () => {
      const will = { topic: topicOf('a1'), payload: Buffer.from('{"gone":1}'), qos: 1 as const };
      const client = await mqttAs('a1', { will });
      client.stream.destroy();
      const [last] = await takeOut(queue, 1);
      expect(Buffer.from(last?.payload ?? []).toString()).to.equal('{"gone":1}');
    });
  });

  describe('subscribing', () => {
    it('is granted to one’s own commands and denied for everything else', async () => {
      const client = raw();
      client.greet('a1');
      const topics = [
        'farms/north/sensors/a1/commands',
        'farms/north/sensors/a2/commands',
        topicOf('a1'),
        '#',
        '$SYS/#',
      ];
      client.send({
        cmd: 'subscribe',
        messageId: 7,
        subscriptions: topics.map((topic) => ({ topic, qos: 1 as const })),
      });
      await until('SUBACK', () => client.of('suback').length === 1);
      const [suback] = client.of('suback');
      expect(suback?.cmd === 'suback' && suback.granted).to.deep.equal([1, 128, 128, 128, 128]);
    });
    it('is granted to a bridge for the commands of its own farm', async () => {
      const client = raw();
      client.greet('gate');
      const topics = [
        'farms/north/sensors/+/commands',
        'farms/north/sensors/a1/commands',
        'farms/south/sensors/+/commands',
        'farms/north/sensors/+/telemetry',
        'farms/north/sensors/a1/x/commands',
        'farms/+/sensors/+/commands',
      ];
      client.send({
        cmd: 'subscribe',
        messageId: 7,
        subscriptions: topics.map((topic) => ({ topic, qos: 1 as const })),
      });
      await until('SUBACK', () => client.of('suback').length === 1);
      const [suback] = client.of('suback');
      expect(suback?.cmd === 'suback' && suback.granted).to.deep.equal([1, 1, 128, 128, 128, 128]);
    });
  });
});
