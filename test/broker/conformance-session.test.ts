import { expect } from 'chai';
import { WebSocket } from 'ws';
import { COMMANDS_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker } from '../../broker/broker.ts';
import { silent } from '../../core/logger.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { acknowledge, becomes, got, type Station, Stations, take, topicFor, wish } from './downlink-place.ts';
import { FARMS, topicOf } from './harness.ts';
import { connect, DISCONNECT, PINGREQ, publish, subscribe } from './mqtt-bytes.ts';

const KEPT = { clean: false, clientId: 'kept' } as const;

describe('MQTT 3.1.1 conformance: sessions and what is sent to clients', () => {
  let queue: Queue;
  let log: Log;
  let all: Stations;
  let station: Station;

  before(async () => {
    queue = await openFileQueue(await temporaryFolder());
  });
  beforeEach(async () => {
    log = await openFileLog(await temporaryFolder(), 'commands', COMMANDS_LOG_LIMITS);
    all = new Stations(queue, log);
    station = await all.start({ alone: true });
  });
  afterEach(async () => {
    await all.stop();
    await log.close();
  });
  after(() => queue.close());

  it('a kept session goes on where it was, and CONNACK says that it is there [MQTT-3.1.2-4] [MQTT-3.2.2-2] [MQTT-4.1.0-1]', async () => {
    const first = await all.listen(station, 'a1', KEPT);
    expect(first.of('connack')[0]?.body[0]).to.equal(0);
    first.send(DISCONNECT);
    await first.end();
    const second = await all.connect(station, 'a1', KEPT);
    expect(second.of('connack')[0]?.body[0]).to.equal(1);
    await station.commands.send(wish('a1', 'without subscribing anew'));
    expect(await take(second, 1)).to.deep.equal(['without subscribing anew']);
  });

  it('what is published while the client of a kept session is away comes when it is back [MQTT-3.1.2-5]', async () => {
    const first = await all.listen(station, 'a1', KEPT);
    first.cut();
    const sent = await station.commands.send(wish('a1', 'while it slept'));
    const second = await all.connect(station, 'a1', KEPT);
    expect(await take(second, 1)).to.deep.equal(['while it slept']);
    await becomes(station, sent, 'delivered');
  });

  it('a clean session begins anew, and ends with its connection [MQTT-3.1.2-6] [MQTT-4.1.0-2]', async () => {
    const kept = await all.listen(station, 'a1', KEPT);
    kept.cut();
    const clean = await all.connect(station, 'a1', { ...KEPT, clean: true });
    expect(clean.of('connack')[0]?.body[0]).to.equal(0);
    await clean.ping();
    expect(station.broker.subscribers.hearing('north', 'a1')).to.deep.equal([]);
    clean.send(subscribe(1, [topicFor('a1'), 1]));
    await clean.next('suback');
    clean.cut();
    const again = await all.connect(station, 'a1', KEPT);
    expect(again.of('connack')[0]?.body[0]).to.equal(0);
    expect(station.broker.subscribers.hearing('north', 'a1')).to.deep.equal([]);
  });

  it('a clean session that takes over from one that is connected leaves none of its subscriptions [MQTT-3.1.2-6] [MQTT-3.1.4-2]', async () => {
    const kept = await all.listen(station, 'a1', KEPT);
    const clean = await all.connect(station, 'a1', { ...KEPT, clean: true });
    expect(clean.of('connack')[0]?.body[0]).to.equal(0);
    await until('the former is closed', () => kept.closed);
    await clean.ping();
    expect(station.broker.subscribers.hearing('north', 'a1')).to.deep.equal([]);
    expect(station.broker.subscribers.heard()).to.deep.equal([]);
  });

  it('what was not acknowledged is sent again in a kept session, with DUP, the same packet id, in the same order [MQTT-3.3.1-1] [MQTT-4.4.0-1] [MQTT-4.6.0-6]', async () => {
    const first = await all.listen(station, 'a1', KEPT);
    for (const n of [1, 2, 3]) await station.commands.send(wish('a1', n));
    await first.next('publish', 3);
    const before = got(first);
    expect(before.map(({ dup }) => dup)).to.deep.equal([false, false, false]);
    acknowledge(first, before[1]?.packetId ?? 0);
    await first.ping();
    first.cut();
    const second = await all.connect(station, 'a1', KEPT);
    await second.next('publish', 2);
    await second.ping();
    const after = got(second).map(({ command, packetId, dup }) => [command, packetId, dup]);
    expect(after).to.deep.equal([
      [1, before[0]?.packetId, true],
      [3, before[2]?.packetId, true],
    ]);
  });

  it('what is sent to a client has a packet id that is not in use, QoS 1 and DUP 0, and counts as unacknowledged until its PUBACK [MQTT-2.3.1-4] [MQTT-4.3.2-1]', async () => {
    const sensor = await all.listen(station, 'a1');
    const sent = [];
    for (const n of [1, 2, 3]) sent.push(await station.commands.send(wish('a1', n)));
    await sensor.next('publish', 3);
    const ids = got(sensor).map(({ packetId }) => packetId);
    expect(new Set(ids).size).to.equal(3);
    expect(ids).to.not.include(0);
    expect(got(sensor).map(({ qos, dup }) => [qos, dup])).to.deep.equal([
      [1, false],
      [1, false],
      [1, false],
    ]);
    for (const command of sent) await becomes(station, command, 'queued');
    for (const id of ids) acknowledge(sensor, id);
    for (const command of sent) await becomes(station, command, 'delivered');
  });

  it('neither DUP nor RETAIN of what a client publishes is passed on: nothing of it is sent to anybody, and what is sent has neither [MQTT-3.3.1-3] [MQTT-3.3.1-9]', async () => {
    const sensor = await all.listen(station, 'a1');
    sensor.send(publish(2 | 8 | 1, topicOf('a1'), 9), publish(2 | 8 | 1, topicFor('a1'), 10));
    await sensor.next('puback', 2);
    await station.commands.send(wish('a1', 'of its own'));
    await sensor.next('publish');
    await sensor.ping();
    expect(sensor.publishes.map(({ dup, retain }) => [dup, retain])).to.deep.equal([[false, false]]);
  });
});

describe('MQTT 3.1.1 conformance: WebSocket', () => {
  let queue: Queue;
  let broker: Broker;

  before(async () => {
    queue = await openFileQueue(await temporaryFolder());
    const registry = new Book(FARMS);
    broker = new Broker({ host: '127.0.0.1', port: 0, wsPort: 0, queue, registry, log: silent });
    await broker.start();
  });
  after(async () => {
    await broker.stop(2_000);
    await queue.close();
  });

  /** A WebSocket that is open, and the bytes that came on it. */
  async function open(protocols: string[] = ['mqtt']) {
    const socket = new WebSocket(`ws://127.0.0.1:${broker.ports.ws}/mqtt`, protocols);
    const got = { frames: [] as Buffer[], binary: true, closed: false };
    socket.on('error', () => {});
    socket.on('message', (data: Buffer, isBinary) => {
      got.frames.push(data);
      got.binary &&= isBinary;
    });
    socket.on('close', () => {
      got.closed = true;
    });
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    return { socket, got, bytes: () => Buffer.concat(got.frames) };
  }

  it('packets go in binary frames, and a frame of text ends the connection [MQTT-6.0.0-1]', async () => {
    const { socket, got, bytes } = await open();
    socket.send(connect());
    await until('CONNACK', () => bytes().length >= 4);
    expect(bytes()).to.deep.equal(Buffer.from([0x20, 2, 0, 0]));
    expect(got.binary).to.equal(true);
    socket.send('PINGREQ, please');
    await until('the end', () => got.closed);
  });

  it('packets may be cut anywhere, and many be in one frame [MQTT-6.0.0-2]', async () => {
    const { socket, bytes } = await open();
    for (const byte of connect()) socket.send(Buffer.from([byte]));
    socket.send(Buffer.concat([PINGREQ, PINGREQ, PINGREQ.subarray(0, 1)]));
    socket.send(PINGREQ.subarray(1));
    await until('CONNACK and three PINGRESPs', () => bytes().length >= 10);
    const pingresp = [0xd0, 0];
    expect(bytes()).to.deep.equal(Buffer.from([0x20, 2, 0, 0, ...pingresp, ...pingresp, ...pingresp]));
    socket.terminate();
  });

  it('the protocol that is chosen is `mqtt`, also of several [MQTT-6.0.0-3] [MQTT-6.0.0-4]', async () => {
    for (const protocols of [['mqtt'], ['other', 'mqtt']]) {
      const { socket } = await open(protocols);
      expect(socket.protocol).to.equal('mqtt');
      socket.terminate();
    }
  });
});
