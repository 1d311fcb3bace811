import { expect } from 'chai';
import pino from 'pino';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker, BrokerOptions } from '../../broker/broker.ts';
import { DecidedDisks } from '../backbone/disk-room.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { connectAs, publishPacket, RawClient, startBroker, takeOut, topicOf, Valve } from './harness.ts';

describe('the broker while the queue refuses', () => {
  let valve: Valve;
  let broker: Broker;
  let lines: { event?: string; level: number }[];
  const clients: RawClient[] = [];

  beforeEach(async () => {
    valve = new Valve(await openFileQueue(await temporaryFolder()));
    lines = [];
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.end();
    await broker.stop(2_000);
    await valve.close();
  });

  async function start(limits: BrokerOptions['limits'] = {}): Promise<void> {
    const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(JSON.parse(line)) });
    broker = await startBroker(valve, { limits, log });
  }
  async function connect(keepalive: number, clientId = 'raw'): Promise<RawClient> {
    const client = new RawClient(broker.port);
    clients.push(client);
    client.greet('a1', { keepalive, clientId });
    await until('an answer', () => client.of('connack').length === 1 || client.closed);
    return client;
  }
  const events = () => lines.map((line) => line.event);

  for (const how of ['full', 'unavailable'] as const) {
    it(`holds a publisher while the queue is ${how}, closes it without PUBACK after half its keepalive, and not before`, async () => {
      await start();
      valve.refuse(how);
      const client = await connect(2);
      const begin = performance.now();
      client.publish(topicOf('a1'), '{"n":1}', 1);
      await until('the client is closed', () => client.closed);
      expect(performance.now() - begin).to.be.at.least(950);
      expect(client.pubacks).to.deep.equal([]);
      expect(broker.counters.closedHeld).to.equal(1);
      expect(await valve.depth()).to.equal(0);
    });
  }

  it('acknowledges what it held when the queue is back in time', async () => {
    await start();
    valve.refuse('full');
    const client = await connect(60);
    for (let id = 1; id <= 20; id++) client.publish(topicOf('a1'), `{"n":${id}}`, id);
    await until('the queue was tried again and again', () => valve.tried >= 4);
    expect(client.pubacks).to.deep.equal([]);
    valve.accept();
    await until('all PUBACKs', () => client.pubacks.length === 20);
    expect(client.pubacks).to.deep.equal(Array.from({ length: 20 }, (_, i) => i + 1));
    const kept = (await takeOut(valve, 20)).map((publish) => Buffer.from(publish.payload).toString());
    expect(kept).to.have.members(Array.from({ length: 20 }, (_, i) => `{"n":${i + 1}}`));
  });

  it('tries what was refused in its old place: before what came later, and in order', async () => {
    await start({ batchPublishes: 1 });
    const client = await connect(60);
    valve.hold();
    for (let id = 1; id <= 3; id++) client.publish(topicOf('a1'), `{"n":${id}}`, id);
    await until('all three are on their way', () => valve.heldNow === 3);
    for (let id = 4; id <= 6; id++) client.publish(topicOf('a1'), `{"n":${id}}`, id);
    valve.refuse('unavailable');
    valve.letGo('reversed');
    await until('the queue was tried again', () => valve.tried >= 5);
    valve.accept();
    await until('all PUBACKs', () => client.pubacks.length === 6);
    const kept = (await takeOut(valve, 6)).map((publish) => Buffer.from(publish.payload).toString());
    expect(kept).to.deep.equal(Array.from({ length: 6 }, (_, i) => `{"n":${i + 1}}`));
  });

  it('lets a publisher that was closed come back and be acknowledged', async () => {
    await start();
    valve.refuse('unavailable');
    const first = await connect(1);
    first.publish(topicOf('a1'), '{"n":1}', 1);
    await until('the client is closed', () => first.closed);
    valve.accept();
    const second = await connect(60);
    second.publish(topicOf('a1'), '{"n":1}', 1);
    await until('PUBACK', () => second.pubacks.length === 1);
  });

  it('gives up what a closed publisher will send again, so that it is not kept twice', async () => {
    await start();
    valve.refuse('full');
    const client = await connect(4);
    client.publish(topicOf('a1'), '{"n":1}', 1);
    await until('the client is closed', () => client.closed);
    await until('its publish is given up', () => broker.counters.givenUp === 1);
    valve.accept();
    const again = await connect(60);
    again.publish(topicOf('a1'), '{"n":1}', 1);
    await until('PUBACK', () => again.pubacks.length === 1);
    expect(await takeOut(valve, 1)).to.have.length(1);
    expect(await valve.depth()).to.equal(0);
  });

  it('drops and counts QoS 0, and holds nobody for it', async () => {
    await start();
    valve.refuse('full');
    const client = await connect(60);
    client.send(...Array.from({ length: 10 }, () => publishPacket(topicOf('a1'), '{}', 0)));
    await until('all are dropped', () => broker.counters.droppedQos0 === 10);
    client.send({ cmd: 'pingreq' });
    await until('PINGRESP', () => client.of('pingresp').length === 1);
    expect(client.closed).to.equal(false);
  });

  it('goes on after a failed write with a farm that sends only QoS 0', async () => {
    await start();
    valve.refuse('unavailable');
    const client = await connect(60);
    client.send(publishPacket(topicOf('a1'), '{"n":1}', 0));
    await until('it is dropped', () => broker.counters.droppedQos0 === 1);
    valve.accept();
    await until('the queue is well', () => broker.health().every(({ ok }) => ok));
    client.send(publishPacket(topicOf('a1'), '{"n":2}', 0));
    const [kept] = await takeOut(valve, 1);
    expect(Buffer.from(kept?.payload ?? []).toString()).to.equal('{"n":2}');
    expect(broker.counters.droppedQos0).to.equal(1);
    await until('the queue is said to be back', () => events().includes('queue_back'));
  });

  it('is well again by itself: wills were its only publishes, and now nobody sends anything', async () => {
    await start({ connectionsWhileShut: 0 });
    const client = new RawClient(broker.port);
    clients.push(client);
    client.greet('a1', { will: { topic: topicOf('a1'), payload: Buffer.from('{}'), qos: 1, retain: false } });
    await until('CONNACK', () => client.of('connack').length === 1);
    valve.refuse('full');
    client.end();
    await until('its will is dropped', () => broker.counters.droppedQos0 === 1);
    expect((await connect(60, 'refused')).of('connack')[0]).to.include({ returnCode: 3 });
    valve.accept();
    await until('the queue is well', () => broker.health().every(({ ok }) => ok));
    expect((await connect(60, 'taken')).of('connack')[0]).to.include({ returnCode: 0 });
  });

  it('tries a queue that stays away with pauses, also when nothing waits', async () => {
    await start();
    valve.refuse('unavailable');
    const client = await connect(60);
    client.send(publishPacket(topicOf('a1'), '{}', 0));
    const begin = performance.now();
    await until('six tries', () => valve.tried >= 7);
    expect(performance.now() - begin).to.be.at.least(6 * 50);
    expect(await valve.depth()).to.equal(0);
  });

  it('holds publishers and drops QoS 0 while the disk of the queue has less than its reserve, and goes on when there is room', async () => {
    const decided = new DecidedDisks();
    decided.free = 41e6;
    await valve.close();
    valve = new Valve(await openFileQueue(await temporaryFolder(), undefined, decided.disks));
    await start();
    const client = await connect(60);
    for (let id = 1; id <= 20; id++) client.publish(topicOf('a1'), `{"n":${id}}`, id);
    await until('the queue was tried again and again', () => valve.tried >= 4);
    client.send(...Array.from({ length: 10 }, () => publishPacket(topicOf('a1'), '{}', 0)));
    await until('QoS 0 is dropped', () => broker.counters.droppedQos0 === 10);
    expect(client.pubacks).to.deep.equal([]);
    expect(broker.health().find(({ name }) => name === 'queue')?.why).to.include('41 MB');
    decided.free = 400e6;
    await until('all PUBACKs', () => client.pubacks.length === 20);
    expect(await takeOut(valve, 20)).to.have.length(20);
  });

  it('says once that the queue is away and once that it is back, not once a publish', async () => {
    await start();
    const client = await connect(60);
    valve.refuse('full');
    for (let id = 1; id <= 100; id++) client.publish(topicOf('a1'), '{}', id);
    await until('the queue was tried again and again', () => valve.tried >= 5);
    valve.accept();
    await until('all PUBACKs', () => client.pubacks.length === 100);
    await until('the queue is said to be back', () => events().includes('queue_back'));
    expect(events().filter((event) => event?.startsWith('queue_'))).to.deep.equal(['queue_away', 'queue_back']);
  });

  it('says no more when the queue takes and refuses by turns, as one at its limit does', async () => {
    await start();
    const client = await connect(60);
    for (let id = 1; id <= 5; id++) {
      const { queueFailures } = broker.counters;
      valve.refuse('full');
      client.publish(topicOf('a1'), '{}', id);
      await until('the queue refuses', () => broker.counters.queueFailures > queueFailures);
      valve.accept();
      await until('PUBACK', () => client.pubacks.length === id);
    }
    // Once; again only where the machine made a turn last so long that the queue was well for a second. Not at each of the five.
    expect(events().filter((event) => event === 'queue_away').length).to.be.within(1, 3);
  });

  it('is told by health, by name, until the queue takes publishes again', async () => {
    await start();
    const client = await connect(60);
    const queue = () => broker.health().find((health) => health.name === 'queue');
    expect(queue()?.ok).to.equal(true);
    valve.refuse('full');
    client.publish(topicOf('a1'), '{}', 1);
    await until('the queue is not well', () => queue()?.ok === false);
    valve.accept();
    await until('the queue is well', () => queue()?.ok === true);
  });

  it('takes new clients up to a cap, and answers one more with CONNACK 3', async () => {
    await start({ connectionsWhileShut: 2 });
    valve.refuse('full');
    const first = await connect(60, 'one');
    first.publish(topicOf('a1'), '{}', 1);
    await until('the queue was tried', () => valve.tried >= 1);
    await connect(60, 'two');
    const third = await connect(60, 'three');
    expect(third.of('connack')).to.have.length(1);
    expect(third.of('connack')[0]).to.include({ returnCode: 3 });
    valve.accept();
    await until('PUBACK', () => first.pubacks.length === 1);
    expect((await connect(60, 'four')).of('connack')[0]).to.include({ returnCode: 0 });
  });

  it('holds no more publishes of all clients than it may: the rest stay unread, and drain when the queue is back', async () => {
    await start({ publishes: 50, clientPublishes: 30 });
    valve.refuse('full');
    const all = await Promise.all(['one', 'two', 'three', 'four'].map((id) => connect(60, id)));
    for (const client of all) for (let id = 1; id <= 40; id++) client.publish(topicOf('a1'), '{}', id);
    let visits = 0;
    await until('the room is used up: nobody else is let in', async () => {
      visits += 1;
      const [connack] = (await connect(60, `visitor-${visits}`)).of('connack');
      return connack?.cmd === 'connack' && connack.returnCode === 3;
    });
    expect(broker.counters.received).to.be.within(30, 50);
    valve.accept();
    await until('all PUBACKs', () => all.every((client) => client.pubacks.length === 40));
  });

  it('closes whoever brings more bytes than may wait, and keeps serving the others', async () => {
    await start({ publishes: 1, waitingBytes: 100_000 });
    valve.refuse('full');
    const greedy = await Promise.all(['one', 'two', 'three', 'four', 'five'].map((id) => connect(60, id)));
    const big = Buffer.alloc(60_000, 'x');
    for (const client of greedy) for (let id = 1; id <= 5; id++) client.publish(topicOf('a1'), big, id);
    await until('somebody is closed', () => broker.counters.closedOverMemory > 0);
    valve.accept();
    await until('the queue is well', () => broker.health().every((health) => health.ok));
    const other = await connectAs(broker.port, 'a2');
    await other.publishAsync(topicOf('a2'), '{}', { qos: 1 });
    await other.endAsync();
  });

  it('acknowledges nothing that was given up when it stops: neither QoS 1 nor QoS 2', async () => {
    await start();
    valve.refuse('unavailable');
    const client = await connect(60);
    for (let id = 1; id <= 20; id++) client.publish(topicOf('a1'), `{"n":${id}}`, id);
    client.send({
      cmd: 'publish',
      topic: topicOf('a1'),
      payload: '{}',
      qos: 2,
      dup: false,
      retain: false,
      messageId: 99,
    });
    await until('the queue was tried', () => valve.tried >= 1 && broker.counters.received === 21);
    await broker.stop(1_000);
    await until('the client is closed', () => client.closed);
    expect(client.pubacks).to.deep.equal([]);
    expect(client.of('pubrec')).to.deep.equal([]);
    expect(broker.counters.givenUp).to.equal(21);
    valve.accept();
    expect(await valve.depth()).to.equal(0);
  });

  it('acknowledges what the queue takes at the last moment while it stops, and only that', async () => {
    await start({ batchPublishes: 5, batches: 1 });
    const client = await connect(60);
    valve.hold();
    client.send(...Array.from({ length: 10 }, (_, i) => publishPacket(topicOf('a1'), `{"n":${i + 1}}`, i + 1)));
    await until(
      'all have arrived and the queue is asked',
      () => broker.counters.received === 10 && valve.heldNow === 1,
    );
    const stopped = broker.stop(3_000);
    valve.letGo();
    valve.hold();
    await stopped;
    await until('the client is closed', () => client.closed);
    valve.letGo();
    const kept = (await takeOut(valve, 5)).map((publish) => Buffer.from(publish.payload).toString());
    expect(kept).to.include.members(client.pubacks.map((id) => `{"n":${id}}`));
    expect(client.pubacks).to.deep.equal([1, 2, 3, 4, 5]);
  });
});
