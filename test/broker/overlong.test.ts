import { expect } from 'chai';
import mqtt, { type MqttClient } from 'mqtt';
import type { RefusalNote } from '../../backbone/events/refusal-book.ts';
import { DEAD_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker, type BrokerOptions } from '../../broker/broker.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { type DeadLetter, decodeDead } from '../../telemetry/batch.ts';
import { shortOrLong } from '../services/length.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { FARMS, takeOut, topicOf } from './harness.ts';
import { answer, number16, packet, publish, text } from './mqtt-bytes.ts';
import { Peer } from './peer.ts';

const MIB = 1024 ** 2;
const LIMIT = 256 * 1024;
/** As fast as they can send. */
const FAST = `${FARMS}rates: { sensor: { bytes: 1000000000 }, bridge: { bytes: 1000000000 } }\n`;

describe('a payload over the limit', function () {
  this.timeout(60_000);
  let queue: Queue;
  let dead: Log;
  let broker: Broker;
  const told: RefusalNote[] = [];
  const peers: Peer[] = [];
  const clients: MqttClient[] = [];

  beforeEach(async () => {
    queue = await openFileQueue(await temporaryFolder());
    dead = await openFileLog(await temporaryFolder(), 'dead', DEAD_LOG_LIMITS);
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end(true);
    for (const peer of peers.splice(0)) peer.cut();
    await broker.stop(2_000);
    await queue.close();
    await dead.close();
    told.length = 0;
  });

  async function start(options: Partial<BrokerOptions> = {}): Promise<void> {
    const refused = (note: RefusalNote) => void told.push(note);
    const all = { host: '127.0.0.1', port: 0, queue, dead, registry: new Book(FAST), log: silent, refused };
    broker = new Broker({ ...all, ...options });
    await broker.start();
  }
  async function connected(username = 'a1', more: { keepalive?: number; clean?: boolean } = {}): Promise<Peer> {
    const peer = new Peer(broker.port);
    peers.push(peer);
    expect(await peer.connect({ username, password: `secret-${username}`, clientId: username, ...more })).to.equal(0);
    return peer;
  }
  const letters = async (): Promise<DeadLetter[]> =>
    (await dead.read('first', 100)).map(({ body }) => decodeDead(body)).filter(({ reason }) => reason === 'too_large');
  const large = (bytes = LIMIT + 1, letter = 'x') => Buffer.alloc(bytes, letter);

  it('is read to its end, acknowledged and kept by its beginning; what is behind it arrives, and the connection stays', async () => {
    await start();
    const peer = await connected();
    peer.send(
      publish(2, topicOf('a1'), 1, '{"n":1}'),
      publish(2, topicOf('a1'), 2, large(3 * MIB, 'A')),
      publish(2, topicOf('a1'), 3, large(LIMIT + 1, 'B')),
      publish(2, topicOf('a1'), 4, '{"n":2}'),
      publish(2, topicOf('a1'), 5, large(LIMIT, 'C')),
    );
    await peer.next('puback', 5);
    expect(peer.ids('puback')).to.deep.equal([1, 2, 3, 4, 5]);
    await peer.ping();
    const taken = await takeOut(queue, 3);
    expect(taken.map(({ payload }) => payload.length)).to.deep.equal([7, 7, LIMIT]);
    const [first, second] = await letters();
    expect(first?.publish).to.include({ farm: 'north', field: 'f1', sensor: 'a1', topic: topicOf('a1') });
    expect(Buffer.from(first?.publish.payload ?? []).toString()).to.equal('A'.repeat(4_096));
    expect(Buffer.from(second?.publish.payload ?? []).toString()).to.equal('B'.repeat(4_096));
    expect(first?.explanation).to.include(`${3 * MIB} bytes`);
    expect(broker.counters).to.include({ overlongPublishes: 2, oversize: 0 });
    expect(broker.held).to.include({ publishes: 0, publishBytes: 0, waitingBytes: 0 });
    expect(told.map(({ why, farm, sensor, from }) => [why, farm, sensor, from])).to.deep.equal([
      ['too_large', 'north', 'a1', '127.0.0.1'],
      ['too_large', 'north', 'a1', '127.0.0.1'],
    ]);
    expect(told[0]?.what).to.include(`${3 * MIB} bytes`);
  });

  it('has PUBREC and PUBCOMP with QoS 2 and no answer with QoS 0; whether it is retained changes nothing', async () => {
    await start();
    const peer = await connected();
    peer.send(publish(4, topicOf('a1'), 7, large()), publish(0, topicOf('a1'), 0, large()));
    await peer.next('pubrec');
    peer.send(answer(0x62, 7), publish(3, topicOf('a1'), 8, large()), publish(2, topicOf('a1'), 9, '{"n":1}'));
    await peer.next('pubcomp');
    await peer.next('puback', 2);
    expect([peer.ids('pubrec'), peer.ids('pubcomp'), peer.ids('puback')]).to.deep.equal([[7], [7], [8, 9]]);
    await until('all are kept', async () => (await letters()).length === 3);
    await takeOut(queue, 1);
  });

  it('of a bridge is kept under the name of the sensor that it is of; one to a foreign topic is that', async () => {
    await start();
    const peer = await connected('gate');
    peer.send(
      publish(2, topicOf('a2'), 1, large()),
      publish(2, topicOf('b1', 'south'), 2, large()),
      publish(2, topicOf('a2'), 3, '{}'),
    );
    await peer.next('puback', 3);
    const [letter, ...others] = await letters();
    expect(others).to.deep.equal([]);
    expect(letter?.publish).to.deep.include({ farm: 'north', sensor: 'a2', via: { kind: 'bridge', id: 'gate' } });
    expect(told.map(({ sensor }) => sensor)).to.deep.equal(['a2']);
    expect(broker.counters).to.include({ overlongPublishes: 1, notAuthorised: 1 });
    await takeOut(queue, 1);
  });

  it('may come in one message of MQTT over WebSocket, or in fragments', async () => {
    await start({ wsPort: 0 });
    const client = await mqtt.connectAsync(
      `ws://127.0.0.1:${broker.ports.ws}/mqtt`,
      { username: 'a1', password: 'secret-a1', reconnectPeriod: 0 },
      false,
    );
    clients.push(client);
    const good = { at: JSON.stringify(large(200_000, 'g').toString()) };
    await Promise.all([
      client.publishAsync(topicOf('a1'), large(3 * MIB), { qos: 1 }),
      client.publishAsync(topicOf('a1'), good.at, { qos: 1 }),
      client.publishAsync(topicOf('a1'), large(70_001), { qos: 2 }),
    ]);
    const taken = await takeOut(queue, 2);
    expect(Buffer.from(taken[0]?.payload ?? []).toString()).to.equal(good.at);
    expect(Buffer.from(taken[1]?.payload ?? []).equals(large(70_001))).to.equal(true);
    expect((await letters()).map(({ explanation }) => /\d+/.exec(explanation)?.[0])).to.deep.equal([`${3 * MIB}`]);
  });

  it('that is cut off in the middle leaves nothing behind, and is taken when it is sent again', async () => {
    await start();
    const cut = await connected('a1', { clean: false });
    const whole = publish(2, topicOf('a1'), 5, large(2 * MIB));
    cut.send(publish(2, topicOf('a1'), 4, '{}'), whole.subarray(0, MIB));
    await cut.next('puback');
    cut.cut();
    await until('it has gone', () => broker.clients === 0);
    expect(broker.held).to.include({ publishes: 0, publishBytes: 0, waitingBytes: 0 });
    expect(await letters()).to.deep.equal([]);
    const again = await connected('a1', { clean: false });
    again.send(publish(10, topicOf('a1'), 5, large(2 * MIB)), publish(2, topicOf('a1'), 6, '{}'));
    await again.next('puback', 2);
    expect(await letters()).to.have.length(1);
    await takeOut(queue, 2);
  });

  it(`has at most 256 MiB, and takes up none of it in memory`, async () => {
    await start();
    const peer = await connected();
    const payload = shortOrLong(24 * MIB, 256 * MIB - 1 - 4 - topicOf('a1').length);
    const before = process.memoryUsage();
    const head = packet(0x32, text(topicOf('a1')), number16(1));
    const lengthBytes: number[] = [];
    for (let left = payload + head.length - 2; left > 0; left = Math.floor(left / 128))
      lengthBytes.push((left % 128) | (left >= 128 ? 0x80 : 0));
    peer.send(Buffer.from([0x32, ...lengthBytes]), head.subarray(2));
    let most = 0;
    const piece = large(MIB);
    for (let sent = 0; sent < payload; sent += MIB) {
      await peer.sent(piece.subarray(0, Math.min(MIB, payload - sent)));
      expect(broker.held.waitingBytes + broker.held.publishBytes).to.be.below(MIB);
      const { rss, external } = process.memoryUsage();
      most = Math.max(most, rss - before.rss, external - before.external);
    }
    await peer.next('puback');
    expect(most).to.be.below(shortOrLong(24, 100) * MIB);
    expect((await letters())[0]?.explanation).to.include(`${payload} bytes`);
  });

  it('counts as life for the keepalive, and against the rate', async () => {
    const slow = FARMS.replace('field: f1 }', 'field: f1, rate: { bytes: 200000, burst: 1 } }');
    await start({ registry: new Book(slow), limits: { payloadBytes: 10_000 } });
    const peer = await connected('a1', { keepalive: 1 });
    const begun = performance.now();
    peer.send(publish(2, topicOf('a1'), 1, large(700_000)), publish(2, topicOf('a1'), 2, '{}'));
    await until('both are acknowledged', () => peer.of('puback').length === 2, { timeoutMs: 20_000 });
    expect(performance.now() - begun).to.be.above(2_000);
    expect(broker.counters.slowed).to.be.at.least(1);
    expect(broker.counters.closedSilent).to.equal(0);
    await takeOut(queue, 1);
  });

  it('is counted when the quota of dead letters is used up, and acknowledged all the same', async () => {
    const metrics = new Metrics();
    await start({ metrics });
    const peer = await connected();
    peer.send(...Array.from({ length: 70 }, (_, i) => publish(2, topicOf('a1'), i + 1, large())));
    await peer.next('puback', 70);
    expect(broker.counters.overlongPublishes).to.equal(70);
    const kept = (await letters()).length;
    expect(kept + broker.counters.refusedUnkept).to.be.at.least(70);
    expect(await metrics.text()).to.match(/^loam_dead_letters_total\{reason="too_large",kept="no"\} \d+$/m);
  });

  it('with a head against MQTT closes its connection, as does another packet over the limit', async () => {
    await start();
    const bad = [
      packet(0x32, number16(0), number16(1), large()),
      publish(2, 'farms/#', 1, large()),
      packet(0x82, number16(1), large(70_000)),
    ];
    for (const bytes of bad) {
      const peer = await connected();
      peer.send(bytes);
      await peer.end();
    }
    expect(broker.counters).to.include({ malformed: 2, oversize: 1 });
    expect(broker.held).to.include({ publishes: 0, publishBytes: 0, waitingBytes: 0 });
  });
});
