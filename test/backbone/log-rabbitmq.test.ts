import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import { expect } from 'chai';
import { LIVE_LOG_LIMITS, type Log, type LogEntry, type LogLimits } from '../../backbone/ports/log.ts';
import { openRabbitLog, type RabbitLogOptions } from '../../backbone/rabbitmq/log.ts';
import { LogUnavailable, Trimmed, UnknownEpoch } from '../../core/errors.ts';
import { itIfLong } from '../services/length.ts';
import { type Proxy as NetworkProxy, startProxy } from '../services/proxy.ts';
import { type RabbitServer, rabbit, startRabbit } from '../services/rabbitmq.ts';
import { freePort, until } from '../services/wait.ts';
import { logContract } from './log-suite.ts';
import { body, numberOf, range, rejection } from './numbered.ts';
import { deleteQueue, lowOnMemory, memoryBack, through } from './rabbitmq-help.ts';

const prefix = 'test.';

logContract('RabbitMQ', async () => {
  const { url } = await rabbit();
  const name = randomUUID();
  return {
    open: (limits) => openRabbitLog(url, name, { ...LIVE_LOG_LIMITS, ...limits }, { prefix, settleMs: 0 }),
    startOver: () => deleteQueue(url, prefix + name),
    trimming: { maxBytes: 2_000_000 },
    supports: { manyOpeners: true },
    child: { script: 'child-log-rabbitmq.ts', env: { AMQP_URL: url, LOG_NAME: name } },
    cleanup: () => deleteQueue(url, prefix + name),
  };
});

describe('RabbitMQ: the log when things go wrong', function () {
  this.timeout(120_000);
  let server: RabbitServer;
  let proxy: NetworkProxy;
  let name: string;
  let opened: Log[];

  before(async () => {
    server = await startRabbit();
    proxy = await startProxy(server.port);
  });

  after(async () => {
    await proxy.close();
    await server.close();
  });

  beforeEach(() => {
    name = randomUUID();
    opened = [];
  });

  afterEach(async () => {
    proxy.restore();
    proxy.thaw();
    await Promise.all(opened.map((log) => log.close()));
  });

  async function open(url = server.url, limits: Partial<LogLimits> = {}, options: RabbitLogOptions = {}): Promise<Log> {
    const all = { prefix, settleMs: 0, confirmTimeoutMs: 2_000, ...options };
    const log = await openRabbitLog(url, name, { ...LIVE_LOG_LIMITS, ...limits }, all);
    opened.push(log);
    return log;
  }

  it('opening rejects with LogUnavailable when nobody listens, or when it exists with other limits', async () => {
    const nobody = openRabbitLog(`amqp://127.0.0.1:${await freePort()}`, name, LIVE_LOG_LIMITS);
    expect(await rejection(nobody)).to.be.instanceOf(LogUnavailable);
    await open();
    const other = openRabbitLog(server.url, name, { ...LIVE_LOG_LIMITS, maxBytes: 3_000_000 }, { prefix });
    const error = await rejection(other);
    expect(error).to.be.instanceOf(LogUnavailable).with.property('message').that.includes('x-max-length-bytes');
  });

  it('a cut connection: appends are refused, and followers go on without hole or double', async () => {
    const writer = await open();
    const log = await open(through(proxy, server));
    const seen: number[] = [];
    await log.follow('first', collect(seen));
    await appendMany(writer, 0, 100);
    await until('a hundred', () => seen.length === 100);
    for (let cut = 1; cut <= 3; cut++) {
      proxy.cut();
      await until('it is down', () => log.state.is === 'down');
      expect(await rejection(log.append(body(0)))).to.be.instanceOf(LogUnavailable);
      expect(await rejection(log.head())).to.be.instanceOf(LogUnavailable);
      // Few: the longer the cut lasts, the longer are the pauses between tries.
      await appendMany(writer, 80 + cut * 20, 100 + cut * 20);
      proxy.restore();
      // Nothing that waited for an answer on the broken connection may hold up the next one.
      await until('it is up', () => log.state.is === 'up', { timeoutMs: 8_000 });
    }
    await log.append(body(160));
    await until('all', () => seen.length >= 161);
    expect(seen).to.deep.equal(range(0, 161));
  });

  it('connections cut again and again while entries flow: followers get each entry once, in order', async function () {
    this.timeout(240_000);
    const writer = await open();
    const log = await open(through(proxy, server));
    const seen: number[] = [];
    await log.follow('next', collect(seen));
    let appended = 0;
    for (let cut = 0; cut < 10; cut++) {
      const appends = appendMany(writer, appended, appended + 500);
      appended += 500;
      await until('some', () => seen.length > cut * 300, { timeoutMs: 30_000 });
      proxy.cut();
      proxy.restore();
      await appends;
    }
    await until('all', () => seen.length >= appended, { timeoutMs: 30_000 });
    expect(seen).to.deep.equal(range(0, appended));
  });

  it('a connection that goes mute is noticed by its heartbeats, and followers go on', async () => {
    const writer = await open();
    const log = await open(through(proxy, server, 'heartbeat=1'), {}, { confirmTimeoutMs: 500 });
    const seen: number[] = [];
    await log.follow('next', collect(seen));
    proxy.freeze();
    await appendMany(writer, 0, 10);
    const begin = performance.now();
    expect(await rejection(log.append(body(99)))).to.be.instanceOf(LogUnavailable);
    expect(performance.now() - begin).to.be.lessThan(5_000);
    await until('it is down', () => log.state.is === 'down', { timeoutMs: 10_000 });
    proxy.thaw();
    await until('ten', () => seen.length >= 10);
    expect(seen.slice(0, 10)).to.deep.equal(range(0, 10));
  });

  itIfLong('the server stopped and started again: entries, offsets and epoch stay, and followers go on', async () => {
    const log = await open();
    const seen: number[] = [];
    await log.follow('first', collect(seen));
    await appendMany(log, 0, 50);
    const before = await log.head();
    const offsets = (await log.read('first', 50)).map(({ offset }) => offset);
    await server.stop();
    await until('it is down', () => log.state.is === 'down');
    await server.start();
    await until('it is up', () => log.state.is === 'up', { timeoutMs: 30_000 });
    const after = await log.head();
    expect(after).to.include({ epoch: before.epoch, first: before.first });
    // A claim of the epoch may have been added while the server was slow to answer.
    expect(after.next).to.be.at.least(before.next);
    expect((await log.read('first', 50)).map(({ offset }) => offset)).to.deep.equal(offsets);
    await appendMany(log, 50, 60);
    await until('all', () => seen.length >= 60);
    expect(seen).to.deep.equal(range(0, 60));
  });

  itIfLong(
    'what was confirmed survives kill -9 of the server, also the first entries of a log that was just made',
    async () => {
      const log = await open(server.url, {}, { settleMs: 2_000 });
      const { epoch } = await log.head();
      const confirmed = new Set<number>();
      let next = 0;
      const lane = async () => {
        for (;;) {
          const n = next++;
          await log.append(body(n, 10_000));
          confirmed.add(n);
        }
      };
      const lanes = Array.from({ length: 20 }, () => rejection(lane()));
      await until('some', () => confirmed.size >= 100, { everyMs: 1 });
      await server.kill();
      const errors = await Promise.all(lanes);
      expect(errors.every((error) => error instanceof LogUnavailable)).to.equal(true);
      await server.start();
      await until('it is up', () => log.state.is === 'up', { timeoutMs: 30_000 });
      expect((await log.head()).epoch).to.equal(epoch);
      const kept = new Set((await log.read('first', 100_000)).map(numberOf));
      expect([...confirmed].filter((n) => !kept.has(n))).to.deep.equal([]);
    },
  );

  it('a server low on memory: appends end in bounded time with LogUnavailable, following and reading go on', async () => {
    const log = await open();
    const seen: number[] = [];
    await appendMany(log, 0, 10);
    await lowOnMemory(server);
    try {
      const begin = performance.now();
      expect(await rejection(log.append(body(10)))).to.be.instanceOf(LogUnavailable);
      expect(performance.now() - begin).to.be.lessThan(8_000);
      await log.follow('first', collect(seen));
      await until('ten', () => seen.length >= 10);
      expect(await log.read('first', 10)).to.have.length(10);
    } finally {
      await memoryBack(server);
    }
    await until('it is up', () => log.state.is === 'up');
    await log.append(body(11));
    await until('the next', () => seen.includes(11));
  });

  it('a follower that was away while the log was trimmed is told with Trimmed, though the server says nothing', async () => {
    const limits = { maxBytes: 2_000_000 };
    const writer = await open(server.url, limits);
    const log = await open(through(proxy, server), limits);
    const seen: number[] = [];
    const follower = await log.follow('first', collect(seen));
    await writer.append(body(0));
    await until('the first', () => seen.length === 1);
    proxy.cut();
    const { first } = await writer.head();
    for (let n = 1; (await writer.head()).first === first; n += 20) {
      await Promise.all(range(n, n + 20).map((each) => writer.append(body(each, 10_000))));
      expect(n).to.be.below(2_000);
    }
    proxy.restore();
    const error = await rejection(follower.ended);
    expect(error)
      .to.be.instanceOf(Trimmed)
      .with.property('first', (await writer.head()).first);
    expect(seen).to.deep.equal([0]);
  });

  it('a log deleted and made anew under its readers and writers: followers are told UnknownEpoch, writers go on', async () => {
    const log = await open();
    await appendMany(log, 0, 10);
    const old = await log.head();
    const seen: number[] = [];
    const follower = await log.follow('first', collect(seen));
    await until('ten', () => seen.length === 10);
    await deleteQueue(server.url, prefix + name);
    const error = await rejection(follower.ended);
    await until('it takes entries again', () => log.append(body(0)).then(() => true));
    const { epoch } = await log.head();
    expect(epoch).not.to.equal(old.epoch);
    expect(error).to.be.instanceOf(UnknownEpoch).with.property('epoch', epoch);
    expect(await rejection(log.read({ offset: 3, epoch: old.epoch }, 10))).to.be.instanceOf(UnknownEpoch);
    expect((await log.read('first', 10)).map(numberOf)).to.deep.equal([0]);
  });

  it('a follower that was away while the log was made anew, and is longer than before, is told UnknownEpoch', async () => {
    const log = await open(through(proxy, server));
    await appendMany(log, 0, 10);
    const seen: number[] = [];
    const follower = await log.follow('first', collect(seen));
    await until('ten', () => seen.length === 10);
    proxy.cut();
    await deleteQueue(server.url, prefix + name);
    const anew = await open();
    await appendMany(anew, 100, 150);
    proxy.restore();
    const { epoch } = await anew.head();
    const error = await rejection(follower.ended);
    expect(error).to.be.instanceOf(UnknownEpoch).with.property('epoch', epoch);
    expect(seen).to.deep.equal(range(0, 10));
  });

  it('an offset beyond the end is UnknownEpoch, though the server would wait for it silently', async () => {
    const log = await open();
    await appendMany(log, 0, 10);
    const { next, epoch } = await log.head();
    const from = { offset: next + 100 };
    expect(await rejection(log.read(from, 10)))
      .to.be.instanceOf(UnknownEpoch)
      .with.property('epoch', epoch);
    expect(await rejection(log.follow(from, () => {}))).to.be.instanceOf(UnknownEpoch);
  });

  it('of many who make a log at the same moment all agree on its epoch', async () => {
    const logs = await Promise.all(range(0, 8).map(() => open()));
    await Promise.all(logs.map((log, n) => log.append(body(n))));
    const heads = await Promise.all(logs.map((log) => log.head()));
    expect(new Set(heads.map((head) => head.epoch)).size).to.equal(1);
    expect((await logs[0]?.read('first', 100))?.length).to.equal(8);
  });

  it('the epoch of a new log is not that of a writer who did not notice that the old one was deleted', async () => {
    const log = await open();
    const old = (await log.head()).epoch;
    const stale = { correlationId: old };
    const stream = prefix + name;
    await log.close();
    const connection = await connect(server.url);
    const channel = await connection.createConfirmChannel();
    await channel.deleteQueue(stream);
    const anew = open();
    // Before the claim, which comes after some silence.
    await until('the stream is there', async () => {
      const probe = await connection.createChannel();
      probe.on('error', () => {});
      await probe.checkQueue(stream);
      return true;
    });
    for (let n = 0; n < 20; n++) channel.sendToQueue(stream, body(n), stale);
    await channel.waitForConfirms();
    const { epoch } = await (await anew).head();
    expect(epoch).not.to.equal(old);
    const seen: number[] = [];
    const follower = await (await anew).follow({ offset: 0, epoch }, collect(seen));
    await until('all', () => seen.length === 20);
    for (let n = 20; n < 30; n++) channel.sendToQueue(stream, body(n), stale);
    await until('all', () => seen.length === 30);
    await follower.stop();
    await connection.close();
  });

  it('an entry that somebody else put into the stream is read like any other and does not change the epoch', async () => {
    const log = await open();
    const { epoch } = await log.head();
    const seen: number[] = [];
    await log.follow('next', collect(seen));
    const connection = await connect(server.url);
    const channel = await connection.createConfirmChannel();
    channel.sendToQueue(prefix + name, body(7));
    await channel.waitForConfirms();
    await connection.close();
    await log.append(body(8));
    await until('both', () => seen.length === 2);
    expect(seen).to.deep.equal([7, 8]);
    expect((await log.head()).epoch).to.equal(epoch);
  });

  it('many who ask for the head at once cost the server few looks, and each answer holds for the time of asking', async () => {
    const log = await open();
    const heads: Promise<number>[] = [];
    for (let n = 0; n < 20; n++) {
      await log.append(body(n));
      const least = (await log.read('first', 100)).at(-1)?.offset ?? 0;
      heads.push(...range(0, 50).map(() => log.head().then(({ next }) => next - least)));
    }
    const margins = await Promise.all(heads);
    expect(Math.min(...margins)).to.be.at.least(1);
  });
});

function collect(into: number[]): (entries: readonly LogEntry[]) => void {
  return (entries) => void into.push(...entries.map(numberOf));
}

async function appendMany(log: Log, from: number, to: number): Promise<void> {
  await Promise.all(range(from, to).map((n) => log.append(body(n))));
}
