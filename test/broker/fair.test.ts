import { expect } from 'chai';
import type { Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker, type BrokerOptions } from '../../broker/broker.ts';
import { PublishBucket } from '../../broker/ingest/publish-rate.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { decodeDead, encodeDead } from '../../telemetry/batch.ts';
import { rateOf } from '../../telemetry/rate.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { FARMS, publishPacket, RawClient, takeOut, topicOf } from './harness.ts';

/** FARMS, where a1 may publish one a second after a burst of three. */
const SLOW = FARMS.replace('id: a1, farm: north,', 'id: a1, farm: north, rate: { messages: 1, burst: 3 },');

describe('fairness between sensors', () => {
  let queue: Queue;
  let broker: Broker;
  let book: Book;
  const clients: RawClient[] = [];

  before(async () => {
    queue = await openFileQueue(await temporaryFolder());
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end();
    await broker.stop(2_000);
  });
  after(() => queue.close());

  async function start(registry: string, options: Partial<BrokerOptions> = {}): Promise<void> {
    book = new Book(registry);
    broker = new Broker({ host: '127.0.0.1', port: 0, queue, registry: book, log: silent, ...options });
    await broker.start();
  }
  async function connect(sensor: string, clientId = 'one'): Promise<RawClient> {
    const client = new RawClient(broker.port);
    clients.push(client);
    client.greet(sensor, { clientId });
    await until('CONNACK', () => client.of('connack').length === 1);
    return client;
  }
  const publishMany = (client: RawClient, sensor: string, count: number, from = 1) =>
    client.send(...Array.from({ length: count }, (_, i) => publishPacket(topicOf(sensor), '{"n":1}', from + i)));

  it('a sensor over its rate is read more slowly, in order and without loss, while another goes on', async () => {
    await start(SLOW);
    const [eager, other] = [await connect('a1'), await connect('a2')];
    // Eight take it five seconds: a busy machine must not be slower with the other's.
    publishMany(eager, 'a1', 8);
    await until('its burst is taken', () => eager.pubacks.length >= 3);
    publishMany(other, 'a2', 200);
    await until('the other has all its PUBACKs', () => other.pubacks.length === 200);
    expect(eager.pubacks.length).to.be.below(8);
    await until('it has them too', () => eager.pubacks.length === 8);
    expect(eager.pubacks).to.deep.equal([1, 2, 3, 4, 5, 6, 7, 8]);
    expect(broker.counters.slowed).to.be.at.least(1);
    expect(await takeOut(queue, 208)).to.have.length(208);
  });

  it('a second connection of the same sensor, or a new one, brings no second burst', async () => {
    await start(SLOW);
    const first = await connect('a1');
    publishMany(first, 'a1', 3);
    await until('its burst is taken', () => first.pubacks.length === 3);
    const second = await connect('a1', 'two');
    first.end();
    const third = await connect('a1');
    // Four, since a bucket that nothing was taken from holds three again after a while.
    for (const client of [second, third]) publishMany(client, 'a1', 2);
    await until('one is slowed', () => broker.counters.slowed >= 1);
    await until('both are taken', () => [second, third].every((client) => client.pubacks.length === 2));
    await takeOut(queue, 7);
  });

  it('a rate that is raised in the registry holds at once for what comes', async () => {
    await start(SLOW.replace('messages: 1,', 'messages: 1.5,'));
    const client = await connect('a1');
    publishMany(client, 'a1', 4);
    await until('its burst is taken', () => client.pubacks.length >= 4);
    book.change(FARMS);
    publishMany(client, 'a1', 1_000, 10);
    await until('all are taken', () => client.pubacks.length === 1_004);
    await takeOut(queue, 1_004);
  });

  it('a farm’s quota holds its sensors and bridges together, and no other farm; another one holds at once', async () => {
    const quota = (messages: number) =>
      FARMS.replace('{ id: north, name: North,', `{ id: north, quotas: { messages: ${messages} }, name: North,`);
    await start(quota(1));
    const [one, two, bridge] = [await connect('a1'), await connect('a2'), await connect('gate')];
    const other = await connect('b1');
    for (const [client, sensor] of [
      [one, 'a1'],
      [two, 'a2'],
      [bridge, 'a2'],
    ] as const)
      publishMany(client, sensor, 10);
    const taken = () => [one, two, bridge].reduce((sum, { pubacks }) => sum + pubacks.length, 0);
    // Ten seconds of it may come at once; each connection may be one publish ahead.
    await until('what may come at once is taken', () => taken() >= 10);
    other.send(...Array.from({ length: 300 }, (_, i) => publishPacket(topicOf('b1', 'south'), '{}', 1 + i)));
    await until('the other farm has all its PUBACKs', () => other.pubacks.length === 300);
    expect(taken()).to.be.below(30);
    book.change(quota(1_000));
    await until('all are taken', () => taken() === 30);
    book.change(FARMS);
    publishMany(one, 'a1', 500, 100);
    await until('nothing holds it any more', () => one.pubacks.length === 510);
    await takeOut(queue, 830);
  });

  it('is a matter of bytes as well: a bucket that was overdrawn by one large publish fills up first', () => {
    const bucket = new PublishBucket({ messages: 100, bytes: 1_000, burst: 1 }, 0);
    expect(bucket.waitMs(0)).to.equal(0);
    bucket.take(11_000);
    expect(bucket.waitMs(0)).to.be.within(10_000, 10_002);
    expect(bucket.waitMs(10_002)).to.equal(0);
    bucket.take(10);
    expect(bucket.waitMs(10_002)).to.be.within(1, 20);
    for (let i = 0; i < 100; i++) bucket.take(1);
    expect(bucket.waitMs(1_000_000)).to.equal(0);
  });

  it('rates are the sensor’s own, else those of its kind in the registry, else the usual ones', () => {
    const registry = parseRegistry(`${SLOW}rates: { sensor: { messages: 7, bytes: 5000 }, bridge: { burst: 2 } }\n`);
    const of = (id: string) => rateOf(registry.sensor('north', id) ?? { role: 'sensor' }, registry.rates);
    expect(of('a1')).to.deep.equal({ messages: 1, bytes: 5_000, burst: 3 });
    expect(of('a2')).to.deep.equal({ messages: 7, bytes: 5_000, burst: 10 });
    expect(of('gate')).to.deep.equal({ messages: 20_000, bytes: 20_000_000, burst: 2 });
  });

  describe('refused publishes', () => {
    let dead: Log;

    beforeEach(async () => {
      dead = await openFileLog(await temporaryFolder(), 'dead', { maxAgeMs: 3_600_000, maxBytes: 10_000_000 });
    });
    afterEach(() => dead.close());

    const refuseMany = (client: RawClient, count: number, from = 1) =>
      client.send(
        ...Array.from({ length: count }, (_, i) => publishPacket(topicOf('a2'), `{"n":${from + i}}`, from + i)),
      );

    it('are in the dead-letter log before their PUBACK', async () => {
      await start(FARMS, { dead });
      const client = await connect('a1');
      refuseMany(client, 1);
      await until('PUBACK', () => client.pubacks.length === 1);
      const letters = (await dead.read('first', 10)).map(({ body }) => decodeDead(body));
      expect(letters.map(({ reason, publish }) => [reason, publish.sensor, publish.topic])).to.deep.equal([
        ['not_authorised', 'a1', topicOf('a2')],
      ]);
    });

    it('are kept up to a quota, the rest is counted, and every one has its PUBACK', async () => {
      await start(FARMS, { dead });
      const client = await connect('a1');
      refuseMany(client, 90);
      await until('all PUBACKs', () => client.pubacks.length === 90);
      const kept = (await dead.read('first', 100)).length;
      // Two minutes may have a part in it. A letter that the log takes too long for is counted as not kept, and written all the same.
      expect(kept).to.be.within(50, 121);
      expect(kept + broker.counters.refusedUnkept).to.be.at.least(90);
    });

    it('in a flood are counted by reason, fill no more than their quota, and push out nothing else', async () => {
      const metrics = new Metrics();
      const before = encodeDead({
        publish: {
          farm: 'north',
          field: 'f1',
          sensor: 'a2',
          topic: topicOf('a2'),
          payload: Buffer.from('{'),
          received: 1,
        },
        reason: 'not_json',
        explanation: 'payload: not JSON',
        at: 1,
      });
      await dead.append(before);
      await start(FARMS, { dead, metrics, limits: { refusedPublishes: 1_000 } });
      const client = await connect('a1');
      const payload = 'x'.repeat(60_000);
      client.send(...Array.from({ length: 50 }, (_, i) => publishPacket(topicOf('a2'), payload, i + 1)));
      await until('all PUBACKs', () => client.pubacks.length === 50);
      const letters = (await dead.read('first', 100)).map(({ body }) => decodeDead(body));
      expect(letters[0]?.reason).to.equal('not_json');
      // 1 MiB of it, and one letter that stands for the others.
      const count = (reason: string) => letters.filter((letter) => letter.reason === reason).length;
      expect(count('not_authorised')).to.equal(17);
      expect(count('over_quota')).to.equal(1);
      expect(broker.counters.refusedUnkept).to.equal(33);
      const text = await metrics.text();
      expect(text).to.match(/^loam_dead_letters_total\{reason="not_authorised",kept="yes"\} 17$/m);
      expect(text).to.match(/^loam_dead_letters_total\{reason="not_authorised",kept="no"\} 33$/m);
    });

    it('are counted as not kept when the dead-letter log is away, and hold nobody', async () => {
      await start(FARMS, { dead });
      await dead.close();
      const client = await connect('a1');
      refuseMany(client, 3);
      await until('all PUBACKs', () => client.pubacks.length === 3);
      expect(broker.counters.refusedUnkept).to.equal(3);
    });

    it('one after another close a sensor, and again when it comes back; a bridge is not closed for its devices', async () => {
      await start(FARMS, { dead, limits: { refusedPublishes: 20 } });
      const bridge = await connect('gate');
      bridge.send(
        ...Array.from({ length: 60 }, (_, i) => publishPacket('application/1/device/x/event/join', '{}', i + 1)),
      );
      await until('all PUBACKs', () => bridge.pubacks.length === 60);
      const client = await connect('a1');
      // Twice as many as it may, in case a minute ends meanwhile.
      refuseMany(client, 41);
      await until('it is closed', () => client.closed);
      expect(broker.counters.closedOffenders).to.equal(1);
      const again = await connect('a1');
      refuseMany(again, 41);
      await until('it is closed again', () => again.closed);
      expect(bridge.closed).to.equal(false);
    });
  });
});
