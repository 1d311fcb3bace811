import { expect } from 'chai';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import { newCounters } from '../../broker/counters.ts';
import { type BrokerLimits, DEFAULT_BROKER_LIMITS } from '../../broker/limits.ts';
import type { Sent } from '../../broker/sessions/session-state.ts';
import { SessionStore } from '../../broker/sessions/session-store.ts';
import { Book } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { FARMS, RawClient, registryOf, startBroker, takenByNobody, takeOut, topicOf, Valve } from './harness.ts';

const COMMANDS = 'farms/north/sensors/a1/commands';

describe('sessions and the commands sent through them', () => {
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

  async function start(limits: Partial<BrokerLimits> = {}, before: Queue = queue): Promise<void> {
    book = new Book(FARMS);
    broker = await startBroker(before, { registry: book, limits });
  }
  async function connect(sensor: string, { clean = false, clientId = 'one' } = {}): Promise<RawClient> {
    const client = new RawClient(broker.port);
    clients.push(client);
    client.greet(sensor, { clean, clientId });
    await until('CONNACK', () => client.of('connack').length === 1);
    return client;
  }
  async function subscribe(client: RawClient, ...topics: string[]): Promise<(number | object)[]> {
    const before = client.of('suback').length;
    const subscriptions = topics.map((topic) => ({ topic, qos: 1 as const }));
    client.send({ cmd: 'subscribe', messageId: 77, subscriptions });
    await until('SUBACK', () => client.of('suback').length > before);
    const suback = client.of('suback').at(-1);
    return suback?.cmd === 'suback' ? suback.granted : [];
  }
  async function leave(client: RawClient): Promise<void> {
    const before = broker.clients;
    client.end();
    await until('the broker has seen it go', () => broker.clients < before);
  }
  const present = (client: RawClient) => {
    const [connack] = client.of('connack');
    return connack?.cmd === 'connack' && connack.sessionPresent;
  };
  function send(key: string, payload = 'open', sensor = 'a1'): Promise<Sent> {
    const sent = broker.subscribers.hearing('north', sensor)[0]?.send(key, COMMANDS, Buffer.from(payload));
    if (sent === undefined || sent === 'busy') throw new Error(`not sent: ${sent ?? 'nobody listens'}`);
    return sent;
  }
  const commands = (client: RawClient) => client.of('publish').flatMap((p) => (p.cmd === 'publish' ? [p] : []));
  async function received(client: RawClient, count: number) {
    await until(`${count} commands`, () => commands(client).length >= count);
    return commands(client).map(({ payload, dup, messageId = 0 }) => ({ payload: payload.toString(), dup, messageId }));
  }

  describe('a session', () => {
    it('is there for a client that comes back with clean=0, with its subscriptions or without any', async () => {
      await start();
      for (const topics of [[], [COMMANDS]]) {
        const clientId = `with ${topics.length}`;
        const first = await connect('a1', { clientId });
        expect(present(first)).to.equal(false);
        if (topics.length > 0) await subscribe(first, ...topics);
        await leave(first);
        const second = await connect('a1', { clientId });
        expect(present(second)).to.equal(true);
        await leave(second);
      }
      const back = await connect('a1', { clientId: 'with 1' });
      await until('its subscription is back', () => broker.subscribers.hearing('north', 'a1')[0] !== undefined);
      void send('k1');
      expect(await received(back, 1)).to.have.length(1);
    });

    it('ends when its client comes with clean=1', async () => {
      await start();
      const first = await connect('a1');
      await subscribe(first, COMMANDS);
      const sent = send('k1');
      await leave(first);
      await leave(await connect('a1', { clean: true }));
      expect(await sent).to.equal('lost');
      expect(present(await connect('a1'))).to.equal(false);
      expect(broker.subscribers.hearing('north', 'a1')[0]).to.equal(undefined);
    });

    it('is nobody else’s: another sensor with the same client id finds none', async () => {
      await start();
      await leave(await connect('a1'));
      expect(present(await connect('a2'))).to.equal(false);
    });

    it('ends with its identity: a sensor that is registered anew finds none', async () => {
      await start();
      await leave(await connect('a1'));
      book.change(registryOf({ a1: null }));
      book.change(FARMS);
      expect(present(await connect('a1'))).to.equal(false);
      expect(broker.counters.sessionsDropped).to.equal(1);
    });

    it('is kept for so many client ids of one sensor, and for so many sensors: the one away longest is dropped', async () => {
      await start({ sessionsPerIdentity: 2, sessions: 3 });
      for (const clientId of ['one', 'two', 'three']) await leave(await connect('a1', { clientId }));
      for (const [clientId, kept] of [
        ['one', false],
        ['three', true],
      ] as const) {
        const client = await connect('a1', { clientId });
        expect(present(client), clientId).to.equal(kept);
        await leave(client);
      }
      for (const sensor of ['a2', 'gate']) await leave(await connect(sensor));
      expect(present(await connect('a2'))).to.equal(true);
      expect(present(await connect('a1', { clientId: 'one' }))).to.equal(false);
    });

    it('ends when its client stays away too long', async () => {
      await start({ sessionMs: 1 });
      await leave(await connect('a1'));
      await until('it has ended', () => {
        book.change(FARMS);
        return broker.held.sessionsAsleep === 0;
      });
      expect(present(await connect('a1'))).to.equal(false);
    });

    it('does not bring back a subscription that was denied', async () => {
      await start();
      const first = await connect('a1');
      expect(await subscribe(first, COMMANDS, 'farms/north/sensors/a2/commands')).to.deep.equal([1, 128]);
      await leave(first);
      await connect('a1');
      await until('it is back', () => broker.subscribers.hearing('north', 'a1')[0] !== undefined);
      expect(broker.subscribers.hearing('north', 'a2')[0]).to.equal(undefined);
    });

    it('has so many subscriptions and no more', async () => {
      await start({ sessionSubscriptions: 2 });
      const bridge = await connect('gate');
      const topics = ['x1', 'x2', 'x3'].map((id) => `farms/north/sensors/${id}/commands`);
      expect(await subscribe(bridge, ...topics)).to.deep.equal([1, 1, 128]);
      expect(await subscribe(bridge, topics[0] ?? '')).to.deep.equal([1]);
      bridge.send({ cmd: 'unsubscribe', messageId: 5, unsubscriptions: [topics[0] ?? ''] });
      await until('UNSUBACK', () => bridge.of('unsuback').length === 1);
      expect(await subscribe(bridge, topics[2] ?? '')).to.deep.equal([1]);
    });

    it('remembers QoS 2 publishes over a reconnect: one sent again is answered, and kept once', async () => {
      await start();
      const publish = (client: RawClient, dup: boolean) =>
        client.send({
          cmd: 'publish',
          topic: topicOf('a1'),
          payload: '{"n":1}',
          qos: 2,
          dup,
          retain: false,
          messageId: 9,
        });
      const first = await connect('a1');
      publish(first, false);
      await until('PUBREC', () => first.of('pubrec').length === 1);
      await leave(first);
      const second = await connect('a1');
      publish(second, true);
      await until('PUBREC', () => second.of('pubrec').length === 1);
      second.send({ cmd: 'pubrel', messageId: 9 });
      await until('PUBCOMP', () => second.of('pubcomp').length === 1);
      publish(second, false);
      await until('PUBREC of a new publish with the same id', () => second.of('pubrec').length === 2);
      expect(await takeOut(queue, 2)).to.have.length(2);
      expect(await queue.depth()).to.equal(0);
    });

    describe('a QoS 2 publish', () => {
      const begin = (client: RawClient, payload: string, dup = false) =>
        client.send({ cmd: 'publish', topic: topicOf('a1'), payload, qos: 2, dup, retain: false, messageId: 1 });
      async function complete(client: RawClient, nth: number): Promise<void> {
        await until('PUBREC', () => client.of('pubrec').length >= nth);
        client.send({ cmd: 'pubrel', messageId: 1 });
        await until('PUBCOMP', () => client.of('pubcomp').length === nth);
      }
      const kept = async (count: number) =>
        (await takeOut(queue, count)).map(({ payload }) => Buffer.from(payload).toString());

      it('is kept once although its confirm comes late, after a reconnect, and so is the next one under its id', async () => {
        const valve = new Valve(queue);
        await start({}, valve);
        valve.hold();
        const first = await connect('a1');
        begin(first, 'A');
        await until('it is on its way', () => valve.heldNow === 1);
        await leave(first);
        const second = await connect('a1');
        begin(second, 'A', true);
        await until('it is known', () => broker.counters.sentAgain === 1);
        expect(second.of('pubrec')).to.have.length(0);
        valve.letGo();
        await complete(second, 1);
        begin(second, 'B');
        await complete(second, 2);
        expect(await kept(2)).to.deep.equal(['A', 'B']);
      });

      it('is acknowledged as often as its client sends it on one connection, and kept once', async () => {
        const valve = new Valve(queue);
        await start({}, valve);
        const client = await connect('a1');
        valve.hold();
        begin(client, 'A');
        await until('it is on its way', () => valve.heldNow === 1);
        begin(client, 'A', true);
        await until('it is known', () => broker.counters.sentAgain === 1);
        valve.letGo();
        await until('both PUBRECs', () => client.of('pubrec').length === 2);
        client.send({ cmd: 'pubrel', messageId: 1 });
        await until('PUBCOMP', () => client.of('pubcomp').length === 1);
        begin(client, 'B');
        await until('PUBREC of the next', () => client.of('pubrec').length === 3);
        expect(await kept(2)).to.deep.equal(['A', 'B']);
      });

      it('is kept too when its client uses the id again before the PUBREL, for other bytes', async () => {
        await start();
        const client = await connect('a1');
        begin(client, 'A');
        await until('PUBREC', () => client.of('pubrec').length === 1);
        begin(client, 'B');
        await until('both PUBRECs', () => client.of('pubrec').length === 2);
        expect(await kept(2)).to.deep.equal(['A', 'B']);
      });
    });

    it('closes a client that begins QoS 2 publishes without end and releases none', async () => {
      await start({ sessionQos2: 3 });
      const client = await connect('a1');
      for (let messageId = 1; messageId <= 4; messageId++) {
        client.send({
          cmd: 'publish',
          topic: topicOf('a1'),
          payload: '{}',
          qos: 2,
          dup: false,
          retain: false,
          messageId,
        });
        await until('an answer', () => client.of('pubrec').length === messageId || client.closed);
      }
      await until('the socket is closed', () => client.closed);
      await takeOut(queue, 3);
    });
  });

  describe('a command', () => {
    it('is not taken for delivered by the late PUBACK of a connection whose session another one took over', async () => {
      const store = new SessionStore(DEFAULT_BROKER_LIMITS, newCounters(), takenByNobody);
      const identity = { sensor: 'a1', farm: 'north', role: 'sensor' } as const;
      const [before, after] = [1, 2].map(() => ({ id: 'a1/one', clean: true }));
      if (!before || !after) throw new Error('two connections');
      const old = store.begin(before, identity).begin('k1', COMMANDS, Buffer.from('first'));
      const now = store.begin(after, identity).begin('k2', COMMANDS, Buffer.from('second'));
      expect(now.messageId).to.equal(old.messageId);
      const answer = { cmd: 'puback', messageId: old.messageId };
      await store.outgoingClearMessageId(before, answer);
      expect(store.stateOf(after)?.underWay('k2')).to.equal(now);
      await store.outgoingClearMessageId(after, answer);
      expect([await old.sent, await now.sent]).to.deep.equal(['lost', 'acknowledged']);
    });

    it('is acknowledged by its PUBACK, not before', async () => {
      await start();
      const client = await connect('a1', { clean: true });
      await subscribe(client, COMMANDS);
      let outcome = '';
      const sent = send('k1').then((how) => {
        outcome = how;
      });
      const [command] = await received(client, 1);
      expect(command).to.include({ payload: 'open', dup: false });
      client.send({ cmd: 'pingreq' });
      await until('PINGRESP', () => client.of('pingresp').length === 1);
      expect(outcome).to.equal('');
      client.send({ cmd: 'puback', messageId: command?.messageId ?? 0 });
      await sent;
      expect(outcome).to.equal('acknowledged');
    });

    it('without PUBACK is sent again when a session with clean=0 comes back, marked as a duplicate [MQTT-4.4.0-1]', async () => {
      await start();
      const first = await connect('a1');
      await subscribe(first, COMMANDS);
      const sent = send('k1');
      const [before] = await received(first, 1);
      await leave(first);
      const second = await connect('a1');
      const [after] = await received(second, 1);
      expect(after).to.deep.equal({ payload: 'open', dup: true, messageId: before?.messageId ?? 0 });
      second.send({ cmd: 'puback', messageId: after?.messageId ?? 0 });
      expect(await sent).to.equal('acknowledged');
      await leave(second);
      const third = await connect('a1');
      third.send({ cmd: 'pingreq' });
      await until('PINGRESP', () => third.of('pingresp').length === 1);
      expect(commands(third)).to.deep.equal([]);
    });

    it('is lost to a session with clean=1 that goes without PUBACK', async () => {
      await start();
      const client = await connect('a1', { clean: true });
      await subscribe(client, COMMANDS);
      const sent = send('k1');
      await leave(client);
      expect(await sent).to.equal('lost');
      expect(broker.subscribers.hearing('north', 'a1')[0]).to.equal(undefined);
    });

    it('is not acknowledged by the PUBACK of another id, nor by another packet with its own, which closes the connection', async () => {
      await start();
      const client = await connect('a1', { clean: true });
      await subscribe(client, COMMANDS);
      const sent = send('k1');
      const [command] = await received(client, 1);
      client.send({ cmd: 'puback', messageId: (command?.messageId ?? 0) + 1 });
      client.send({ cmd: 'pingreq' });
      await until('PINGRESP', () => client.of('pingresp').length === 1);
      client.send({ cmd: 'pubcomp', messageId: command?.messageId ?? 0 });
      await until('it is closed', () => client.closed);
      expect(await sent).to.equal('lost');
    });

    it('is not sent twice under one key while it is on its way', async () => {
      await start();
      const client = await connect('a1', { clean: true });
      await subscribe(client, COMMANDS);
      const [one, two] = [send('k1'), send('k1')];
      void send('k2', 'close');
      const all = await received(client, 2);
      expect(all.map(({ payload }) => payload)).to.deep.equal(['open', 'close']);
      client.send({ cmd: 'puback', messageId: all[0]?.messageId ?? 0 });
      expect(await Promise.all([one, two])).to.deep.equal(['acknowledged', 'acknowledged']);
    });

    it('waits when the session has enough without PUBACK', async () => {
      await start({ sessionCommands: 2 });
      const client = await connect('a1', { clean: true });
      await subscribe(client, COMMANDS);
      void send('k1');
      const second = send('k2');
      expect(broker.subscribers.hearing('north', 'a1')[0]?.send('k3', COMMANDS, Buffer.from('x'))).to.equal('busy');
      const all = await received(client, 2);
      client.send({ cmd: 'puback', messageId: all[1]?.messageId ?? 0 });
      await second;
      void send('k3');
      await received(client, 3);
    });

    it('goes to the newest of the sessions that listen: the sensor’s own, or its bridge’s', async () => {
      await start();
      const own = await connect('a1', { clean: true });
      await subscribe(own, COMMANDS);
      const bridge = await connect('gate', { clean: true });
      const heard: string[] = [];
      broker.subscribers.watch((farm, sensor, { identity }) => heard.push(`${farm} ${sensor} ${identity.sensor}`));
      await subscribe(bridge, 'farms/north/sensors/+/commands');
      await until('the broker tells of it', () => heard.length === 1);
      expect(heard).to.deep.equal(['north + gate']);
      void send('k1');
      await received(bridge, 1);
      await leave(bridge);
      void send('k2');
      await received(own, 1);
      expect(broker.subscribers.hearing('south', 'a1')[0]).to.equal(undefined);
    });
  });

  describe('a right that the registry takes away', () => {
    const BRIDGED = 'farms/north/sensors/+/commands';
    /** FARMS with one sensor or bridge in the other farm. */
    const moved = (id: string) => {
      const [line = ''] = new RegExp(`^.*id: ${id},.*$`, 'm').exec(FARMS) ?? [];
      return FARMS.replace(line, line.replace('farm: north', 'farm: south').replace(', field: f1', ''));
    };
    /** A publish and its PUBACK: whatever was to be sent before it has come. */
    async function settled(client: RawClient, sensor: string, farm: string): Promise<void> {
      const before = client.pubacks.length;
      client.publish(topicOf(sensor, farm), '{"n":1}', 900);
      await until('PUBACK', () => client.pubacks.length > before);
    }

    for (const [id, filter] of [
      ['a1', COMMANDS],
      ['gate', BRIDGED],
    ] as const) {
      it(`ends the session of ${id} that slept through it, with all it subscribed to and had not acknowledged`, async () => {
        await start();
        const first = await connect(id);
        expect(await subscribe(first, filter)).to.deep.equal([1]);
        const sent = send('k1');
        await received(first, 1);
        await leave(first);
        book.change(moved(id));
        expect(await sent).to.equal('lost');
        const second = await connect(id);
        expect(present(second)).to.equal(false);
        expect(broker.subscribers.hearing('north', 'a1')).to.deep.equal([]);
        expect(await subscribe(second, filter)).to.deep.equal([128]);
        await settled(second, id, 'south');
        expect(commands(second)).to.deep.equal([]);
        await takeOut(queue, 1);
      });

      it(`ends the session of ${id} that was connected, which finds none when it comes back at once`, async () => {
        await start();
        const first = await connect(id);
        await subscribe(first, filter);
        const sent = send('k1');
        await received(first, 1);
        book.change(moved(id));
        expect(broker.subscribers.hearing('north', 'a1')).to.deep.equal([]);
        const second = await connect(id);
        await until('the first is closed', () => first.closed);
        expect(await sent).to.equal('lost');
        expect(present(second)).to.equal(false);
        await settled(second, id, 'south');
        await takeOut(queue, 1);
        const notItsOwn = broker.counters.notAuthorised;
        second.publish(topicOf(id, 'north'), '{"n":1}', 901);
        await until('it is refused', () => broker.counters.notAuthorised > notItsOwn);
        expect(commands(second)).to.deep.equal([]);
      });
    }

    it('is not a bridge’s to the commands of its farm when another farm has the same id', async () => {
      await start();
      for (const filter of [BRIDGED, COMMANDS]) {
        book.change(FARMS);
        const clientId = filter === BRIDGED ? 'all' : 'one';
        const first = await connect('gate', { clientId });
        await subscribe(first, filter);
        void send(`k ${filter}`);
        await received(first, 1);
        book.change(moved('a1'));
        expect(broker.subscribers.hearing('north', 'a1')).to.have.length(1);
        expect(broker.subscribers.hearing('south', 'a1')).to.deep.equal([]);
        await leave(first);
        const second = await connect('gate', { clientId });
        expect(present(second)).to.equal(true);
        await settled(second, 'a2', 'north');
        expect(commands(second), filter).to.have.length(1);
        await leave(second);
        await takeOut(queue, 1);
      }
    });
  });

  it('a subscriber that reads nothing delays nobody, and is sent no more than it may leave unread', async () => {
    await start({ sessionCommands: 1_000 });
    const frozen = await connect('a1', { clean: true });
    await subscribe(frozen, COMMANDS);
    frozen.socket.pause();
    const big = 'x'.repeat(60_000);
    let count = 0;
    for (; count < 1_000; count++) {
      const sent = broker.subscribers.hearing('north', 'a1')[0]?.send(`k${count}`, COMMANDS, Buffer.from(big));
      if (sent === 'busy') break;
      await new Promise((resolve) => setImmediate(resolve));
    }
    expect(count).to.be.within(1, 500);
    const other = await connect('a2', { clean: true });
    other.publish(topicOf('a2'), '{"n":1}', 1);
    await until('PUBACK', () => other.pubacks.length === 1);
    await takeOut(queue, 1);
  });
});
