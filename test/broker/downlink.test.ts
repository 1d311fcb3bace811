import { expect } from 'chai';
import { COMMANDS_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openRabbitLog } from '../../backbone/rabbitmq/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { LogUnavailable, TooManyCommands } from '../../core/errors.ts';
import type { Command } from '../../telemetry/command.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { listening } from '../workers/bench.ts';
import { acknowledge, becomes, got, Stations, take, topicFor, wish } from './downlink-place.ts';
import { registryOf, topicOf } from './harness.ts';
import { DISCONNECT, publish } from './mqtt-bytes.ts';

let serial = 0;
/** Each gives a log that is there for the first time, as a function that opens it: a stream anew for each broker, files once for their process. */
const logs: Readonly<Record<string, () => Promise<() => Promise<Log>>>> = {
  files: async () => {
    const log = await openFileLog(await temporaryFolder(), 'commands', COMMANDS_LOG_LIMITS);
    return async () => log;
  },
  'a RabbitMQ stream': async () => {
    serial += 1;
    const [{ url }, name] = [await rabbit(), `commands-${process.pid}-${Date.now()}-${serial}`];
    return () => openRabbitLog(url, name, COMMANDS_LOG_LIMITS);
  },
};

for (const [name, openLog] of Object.entries(logs)) {
  describe(`commands to sensors, through ${name}`, () => {
    let queue: Queue;
    let log: Log;
    /** What a second broker follows. */
    let second: Log;
    let all: Stations;

    before(async () => {
      queue = await openFileQueue(await temporaryFolder());
    });
    beforeEach(async () => {
      const open = await openLog();
      log = await open();
      second = await open();
      all = new Stations(queue, log);
    });
    afterEach(async () => {
      await all.stop();
      await log.close();
      await second.close();
    });
    after(() => queue.close());

    it('reach the sensor in an envelope with an id, and count as delivered when its PUBACK came', async () => {
      const station = await all.start();
      const sensor = await all.listen(station, 'a1');
      const command = await station.commands.send(wish('a1', { valve: 'open' }));
      await sensor.next('publish');
      const [first] = sensor.publishes;
      expect(first).to.include({ topic: topicFor('a1'), qos: 1, dup: false, retain: false });
      const { id, at, expires } = command;
      expect(JSON.parse(first?.payload ?? '')).to.deep.equal({ id, ts: at, expires, command: { valve: 'open' } });
      await sensor.ping();
      await becomes(station, command, 'queued');
      acknowledge(sensor, first?.id ?? 0);
      await becomes(station, command, 'delivered');
    });

    it('wait for a sensor that sleeps, and come in their order when it subscribes', async () => {
      const station = await all.start();
      const sent: Command[] = [];
      for (const n of [1, 2, 3]) sent.push(await station.commands.send(wish('a1', { n })));
      const sensor = await all.listen(station, 'a1');
      expect(await take(sensor, 3)).to.deep.equal([{ n: 1 }, { n: 2 }, { n: 3 }]);
      for (const command of sent) await becomes(station, command, 'delivered');
      const again = await all.listen(station, 'a1');
      await again.ping();
      expect(got(again)).to.deep.equal([]);
    });

    it('reach a sensor on whichever broker it is connected to', async () => {
      const [here, there] = [await all.start(), await all.start({ log: second })];
      const sensor = await all.listen(there, 'a1');
      const command = await here.commands.send(wish('a1', 'over there'));
      expect(await take(sensor, 1)).to.deep.equal(['over there']);
      await becomes(here, command, 'delivered');
      await becomes(there, command, 'delivered');
    });

    it('outlive a restart of every broker: one that waits is delivered, one that was delivered is not sent again', async () => {
      const before = await all.start();
      const sensor = await all.listen(before, 'a1');
      const delivered = await before.commands.send(wish('a1', 'delivered before'));
      await take(sensor, 1);
      await becomes(before, delivered, 'delivered');
      const waiting = await before.commands.send(wish('a2', 'still waiting'));
      await before.stop();

      const after = await all.start({ log: second });
      await becomes(after, delivered, 'delivered');
      await becomes(after, waiting, 'queued');
      const [a1, a2] = [await all.listen(after, 'a1'), await all.listen(after, 'a2')];
      expect(await take(a2, 1)).to.deep.equal(['still waiting']);
      await becomes(after, waiting, 'delivered');
      await a1.ping();
      expect(got(a1)).to.deep.equal([]);
    });

    it('without PUBACK come again on the next connection, under the same id', async () => {
      const station = await all.start();
      const first = await all.listen(station, 'a1');
      const command = await station.commands.send(wish('a1', 'twice'));
      await first.next('publish');
      first.cut();
      const second = await all.listen(station, 'a1');
      await second.next('publish');
      expect(got(second)[0]).to.include({ id: command.id, dup: false });
      acknowledge(second, got(second)[0]?.packetId ?? 0);
      await becomes(station, command, 'delivered');
    });

    it('go to the newest session of a sensor, across brokers, and to no other', async () => {
      const [one, two] = [await all.start(), await all.start({ log: second })];
      const older = await all.listen(one, 'a1', { clientId: 'older' });
      await until(
        'a later millisecond',
        () => Date.now() > (one.broker.subscribers.hearing('north', 'a1')[0]?.since ?? 0),
      );
      const newer = await all.listen(two, 'a1', { clientId: 'newer' });
      const first = await one.commands.send(wish('a1', 'first'));
      await take(newer, 1);
      await becomes(one, first, 'delivered');
      const next = await two.commands.send(wish('a1', 'second'));
      expect(await take(newer, 2)).to.deep.equal(['first', 'second']);
      await becomes(two, next, 'delivered');
      await older.ping();
      expect(got(older).filter(({ command }) => command === 'second')).to.deep.equal([]);
    });

    it('are refused when as many wait for a sensor as may, also when they come at once; those of others are not', async () => {
      const limits = { waitingPerSensor: 3 };
      const [one, two] = [await all.start({ limits }), await all.start({ limits, log: second })];
      const tries = Array.from({ length: 8 }, (_, n) => (n % 2 === 0 ? one : two).commands.send(wish('a1', { n })));
      const outcomes = await Promise.allSettled(tries);
      expect(outcomes.filter(({ status }) => status === 'fulfilled')).to.have.length(3);
      for (const outcome of outcomes) {
        if (outcome.status === 'rejected') expect(outcome.reason).to.be.instanceOf(TooManyCommands);
      }
      await one.commands.send(wish('a2', 'another sensor'));
      const sensor = await all.listen(two, 'a1');
      await take(sensor, 3);
      await until('there is room again', () => one.commands.waitingFor('north', 'a1').length === 0);
      await one.commands.send(wish('a1', 'room again'));
    });

    it('expire, and are not sent after that, nor again by a session that wakes up', async () => {
      const station = await all.start();
      const asleep = await all.listen(station, 'a1', { clean: false, clientId: 'sleeper' });
      const command = await station.commands.send(wish('a1', 'too late', { lifeMs: 5_000 }));
      await asleep.next('publish');
      asleep.cut();
      await becomes(station, command, 'expired');
      await until('the brokers have noticed', () => station.commands.counters.expired === 1);
      const awake = await all.listen(station, 'a1', { clean: false, clientId: 'sleeper' });
      await awake.ping();
      expect(awake.of('connack')[0]?.body[0]).to.equal(1);
      expect(got(awake)).to.deep.equal([]);
      await becomes(station, command, 'expired');
    });
  });
}

describe('commands to sensors', () => {
  let queue: Queue;
  let log: Log;
  let all: Stations;
  const rightNow = Date.now;
  before(async () => {
    queue = await openFileQueue(await temporaryFolder());
  });
  beforeEach(async () => {
    log = await openFileLog(await temporaryFolder(), 'commands', COMMANDS_LOG_LIMITS);
    all = new Stations(queue, log);
  });
  afterEach(async () => {
    Date.now = rightNow;
    await all.stop();
    await log.close();
  });
  after(() => queue.close());

  it('do not expire because the clock is set two days ahead: who comes meanwhile gets them, and who comes when it is right', async () => {
    const { log: logger, lines } = listening();
    const sets = (count: number) =>
      until(`the clock is seen to be set ${count} times`, () => {
        return lines.filter((line) => line.includes('clock_set')).length === count;
      });
    const station = await all.start({ logger });
    const [command, other] = [
      await station.commands.send(wish('a1', { valve: 'open' })),
      await station.commands.send(wish('a2', { valve: 'shut' })),
    ];
    Date.now = () => rightNow() + 2 * 86_400_000;
    await sets(1);
    expect(await take(await all.listen(station, 'a1'), 1)).to.deep.equal([{ valve: 'open' }]);
    await becomes(station, command, 'delivered');
    Date.now = rightNow;
    await sets(2);
    expect(await take(await all.listen(station, 'a2'), 1)).to.deep.equal([{ valve: 'shut' }]);
    await becomes(station, other, 'delivered');
    expect(station.commands.counters.expired).to.equal(0);
  });

  it('that were delivered elsewhere are not sent again by a session that wakes up', async () => {
    const [one, two] = [await all.start(), await all.start()];
    const asleep = await all.listen(one, 'a1', { clean: false, clientId: 'sleeper' });
    const command = await one.commands.send(wish('a1', 'once'));
    await asleep.next('publish');
    asleep.cut();
    const elsewhere = await all.listen(two, 'a1', { clientId: 'elsewhere' });
    await take(elsewhere, 1);
    await becomes(one, command, 'delivered');
    const awake = await all.connect(one, 'a1', { clean: false, clientId: 'sleeper' });
    await awake.ping();
    expect(awake.of('connack')[0]?.body[0]).to.equal(1);
    expect(got(awake)).to.deep.equal([]);
  });

  it('to a subscription of QoS 0 come once a connection and never count as delivered', async () => {
    const station = await all.start({ alone: true });
    const first = await all.listen(station, 'a1', { qos: 0 });
    const command = await station.commands.send(wish('a1', 'hello'));
    await first.next('publish');
    await station.commands.send(wish('a1', 'again'));
    await first.next('publish', 2);
    expect(got(first).map(({ command, qos }) => [command, qos])).to.deep.equal([
      ['hello', 0],
      ['again', 0],
    ]);
    const second = await all.listen(station, 'a1', { qos: 0 });
    await second.next('publish', 2);
    await becomes(station, command, 'queued');
  });

  describe('that a bridge brings', () => {
    it('go to it, each on its sensor’s own topic', async () => {
      const station = await all.start({ alone: true });
      all.book.change(registryOf({}).replace('sensors:\n', 'sensors:\n  - { id: plain, farm: north }\n'));
      const bridge = await all.listen(station, 'gate');
      const sent = [
        await station.commands.send(wish('plain', 'registered, without a secret')),
        await station.commands.send(wish('stranger', 'not registered')),
      ];
      await take(bridge, 2);
      expect(got(bridge).map(({ topic }) => topic)).to.deep.equal([topicFor('plain'), topicFor('stranger')]);
      for (const command of sent) await becomes(station, command, 'delivered');
    });

    it('do not go to it for a sensor that connects by itself, until it has published for it', async () => {
      const station = await all.start({ alone: true });
      const bridge = await all.listen(station, 'gate');
      const command = await station.commands.send(wish('a1', 'whose?'));
      await bridge.ping();
      expect(got(bridge)).to.deep.equal([]);
      bridge.send(publish(2, topicOf('a1'), 5));
      await take(bridge, 1);
      await becomes(station, command, 'delivered');
    });

    it('go to it at once for a sensor that it named in its subscription', async () => {
      const station = await all.start({ alone: true });
      const bridge = await all.listen(station, 'gate', { filter: topicFor('a1') });
      await station.commands.send(wish('a1', 'named'));
      expect(await take(bridge, 1)).to.deep.equal(['named']);
    });

    it('go to the sensor itself while it is connected, also on another broker', async () => {
      const [one, two] = [await all.start(), await all.start()];
      const own = await all.listen(one, 'a1');
      await until(
        'a later millisecond',
        () => Date.now() > (one.broker.subscribers.hearing('north', 'a1')[0]?.since ?? 0),
      );
      const bridge = await all.listen(two, 'gate', { filter: topicFor('a1') });
      const first = await one.commands.send(wish('a1', 'to whom?'));
      await take(own, 1);
      await becomes(one, first, 'delivered');
      await two.commands.send(wish('a1', 'and now?'));
      expect(await take(own, 2)).to.deep.equal(['to whom?', 'and now?']);
      await bridge.ping();
      expect(got(bridge).filter(({ command }) => command === 'and now?')).to.deep.equal([]);
    });

    it('all come through, however many wait at once', async () => {
      const station = await all.start({ alone: true });
      const sensors = Array.from({ length: 120 }, (_, i) => `stranger-${i}`);
      for (const sensor of sensors) await station.commands.send(wish(sensor, sensor));
      const bridge = await all.listen(station, 'gate');
      expect(new Set(await take(bridge, sensors.length))).to.deep.equal(new Set(sensors));
      await until('all are written down', () => station.commands.waiting === 0);
    });
  });

  it('whose PUBACK came while the log is away are written down when it is back, and not sent again meanwhile', async () => {
    let away = false;
    const refusing: Log = Object.create(log, {
      append: {
        value: async (body: Uint8Array) => {
          if (away) throw new LogUnavailable('away');
          await log.append(body);
        },
      },
    });
    const station = await all.start({ alone: true, log: refusing });
    const sensor = await all.listen(station, 'a1');
    const command = await station.commands.send(wish('a1', 'noted late'));
    await sensor.next('publish');
    away = true;
    acknowledge(sensor, got(sensor)[0]?.packetId ?? 0);
    await until('the acknowledgement waits for the log', () => station.downlink.unrecorded === 1);
    sensor.send(DISCONNECT);
    const again = await all.listen(station, 'a1');
    await again.ping();
    expect(got(again)).to.deep.equal([]);
    away = false;
    await becomes(station, command, 'delivered');
  });
});
