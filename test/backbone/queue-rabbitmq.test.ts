import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { DEFAULT_QUEUE_LIMITS, type Queue } from '../../backbone/ports/queue.ts';
import { ConfirmPublisher } from '../../backbone/rabbitmq/publisher.ts';
import { openRabbitQueue, type RabbitQueueOptions } from '../../backbone/rabbitmq/queue.ts';
import { QueueFull, QueueUnavailable } from '../../core/errors.ts';
import { itIfLong } from '../services/length.ts';
import { type Proxy as NetworkProxy, startProxy } from '../services/proxy.ts';
import { type RabbitServer, rabbit, startRabbit } from '../services/rabbitmq.ts';
import { freePort, until } from '../services/wait.ts';
import { body, rejection } from './numbered.ts';
import { queueContract } from './queue-suite.ts';
import { declareByHand, deleteQueue, lowOnMemory, memoryBack, through } from './rabbitmq-help.ts';
import { traceServer } from './rabbitmq-trace.ts';

queueContract('RabbitMQ', async () => {
  const { url } = await rabbit();
  const name = `test.${randomUUID()}`;
  return {
    open: (limits) => openRabbitQueue(url, { name, limits: { ...DEFAULT_QUEUE_LIMITS, ...limits }, settleMs: 0 }),
    supports: { manyOpeners: true, exactLimits: false },
    child: { script: 'child-queue-rabbitmq.ts', env: { AMQP_URL: url, QUEUE_NAME: name } },
    cleanup: () => deleteQueue(url, name),
  };
});

describe('RabbitMQ: the queue when things go wrong', function () {
  this.timeout(120_000);
  let server: RabbitServer;
  let proxy: NetworkProxy;
  let name: string;
  let opened: Queue[];

  before(async () => {
    server = await startRabbit();
    proxy = await startProxy(server.port);
  });

  after(async () => {
    await proxy.close();
    await server.close();
  });

  beforeEach(() => {
    name = `test.${randomUUID()}`;
    opened = [];
  });

  afterEach(async () => {
    proxy.restore();
    proxy.thaw();
    await Promise.all(opened.map((queue) => queue.close()));
  });

  async function open(url = server.url, options: RabbitQueueOptions = {}): Promise<Queue> {
    const queue = await openRabbitQueue(url, { name, confirmTimeoutMs: 2_000, settleMs: 0, ...options });
    opened.push(queue);
    return queue;
  }

  function setting(name: string, value: string): Promise<string> {
    return server.ctl('eval', `application:set_env(rabbit, ${name}, ${value}).`);
  }

  itIfLong('opening rejects with QueueUnavailable when nobody listens, and when nobody answers', async () => {
    const nobody = await rejection(openRabbitQueue(`amqp://127.0.0.1:${await freePort()}`, { name }));
    expect(nobody).to.be.instanceOf(QueueUnavailable);
    proxy.freeze();
    expect(await rejection(openRabbitQueue(through(proxy, server), { name }))).to.be.instanceOf(QueueUnavailable);
  });

  it('opening rejects with QueueUnavailable that names the argument in which an existing queue differs', async () => {
    await open(server.url, { limits: { maxMessages: 10, maxBytes: 1_000 } });
    const error = await rejection(openRabbitQueue(server.url, { name, limits: { maxMessages: 11, maxBytes: 1_000 } }));
    expect(error).to.be.instanceOf(QueueUnavailable).with.property('message').that.includes('x-max-length');
  });

  it('a cut connection: publishes are refused at once, the state says so, and consuming and publishing come back', async () => {
    const queue = await open(through(proxy, server));
    const states: string[] = [];
    // Each new reason is told, too.
    queue.watch(({ is }) => {
      if (states.at(-1) !== is) states.push(is);
    });
    const seen = await collect(queue);
    await publishMany(queue, 0, 10);
    await until('ten', () => seen.size === 10);
    proxy.cut();
    await until('it is down', () => queue.state.is === 'down');
    const begin = performance.now();
    expect(await rejection(queue.publish(body(0)))).to.be.instanceOf(QueueUnavailable);
    expect(await rejection(queue.depth())).to.be.instanceOf(QueueUnavailable);
    expect(performance.now() - begin).to.be.lessThan(500);
    proxy.restore();
    await until('it is up', () => queue.state.is === 'up');
    await publishMany(queue, 10, 20);
    await until('twenty', () => seen.size === 20);
    expect(states).to.deep.equal(['down', 'up']);
  });

  it('publishes on their way when the connection is cut are settled: confirmed and kept, or QueueUnavailable', async () => {
    const queue = await open(through(proxy, server));
    // So many that not all are confirmed in one go.
    const outcomes = Array.from({ length: 8_000 }, (_, n) =>
      queue.publish(body(n)).then(
        () => n,
        (error: unknown) => error,
      ),
    );
    await Promise.any(outcomes);
    proxy.cut();
    const settled = await Promise.all(outcomes);
    proxy.restore();
    const confirmed = settled.filter((outcome) => typeof outcome === 'number');
    const errors = settled.filter((outcome) => typeof outcome !== 'number');
    expect(errors.every((error) => error instanceof QueueUnavailable)).to.equal(true);
    expect(errors.length).to.be.greaterThan(0);
    const seen = await collect(await open());
    await until('all confirmed ones', () => confirmed.every((n) => seen.has(n)));
  });

  it('a connection that goes mute is noticed by its heartbeats; until then publishes end at their time limit', async () => {
    const queue = await open(through(proxy, server, 'heartbeat=1'), { confirmTimeoutMs: 500 });
    const seen = await collect(queue);
    proxy.freeze();
    const begin = performance.now();
    expect(await rejection(queue.publish(body(0)))).to.be.instanceOf(QueueUnavailable);
    expect(performance.now() - begin).to.be.within(450, 5_000);
    await until('it is down', () => queue.state.is === 'down', { timeoutMs: 10_000 });
    proxy.thaw();
    await until('it is up', () => queue.state.is === 'up');
    await queue.publish(body(1));
    await until('it has come', () => seen.has(1));
  });

  it('a message held when its connection broke comes again, and handlers at work never exceed prefetch', async () => {
    const queue = await open(through(proxy, server));
    await publishMany(queue, 0, 30);
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    const attempts = new Map<number, number>();
    let working = 0;
    let most = 0;
    await queue.consume(
      async (delivery) => {
        most = Math.max(most, ++working);
        attempts.set(numberOf(delivery.body), delivery.attempt);
        await held;
        working--;
      },
      { prefetch: 10 },
    );
    for (let break_ = 0; break_ < 3; break_++) {
      await until('ten at work', () => working === 10);
      proxy.cut();
      await until('it is down', () => queue.state.is === 'down');
      proxy.restore();
      await until('it is up', () => queue.state.is === 'up');
    }
    release();
    await until('nothing is left', async () => (await queue.depth()) === 0);
    expect(most).to.equal(10);
    expect(attempts.size).to.equal(30);
    expect(Math.max(...attempts.values())).to.be.greaterThan(1);
  });

  itIfLong('the server stopped and started again: what was confirmed is there, and consumers go on', async () => {
    const queue = await open();
    await publishMany(queue, 0, 50);
    await server.stop();
    await until('it is down', () => queue.state.is === 'down');
    await server.start();
    await until('it is up', () => queue.state.is === 'up', { timeoutMs: 30_000 });
    const seen = await collect(queue);
    await until('fifty', () => seen.size === 50);
    await queue.publish(body(50));
    await until('the next', () => seen.has(50));
  });

  it('what was confirmed survives kill -9 of the server, also the first messages of a queue that was just made', async () => {
    const queue = await openRabbitQueue(server.url, { name, confirmTimeoutMs: 2_000 });
    opened.push(queue);
    const confirmed = new Set<number>();
    let next = 0;
    const lane = async () => {
      for (;;) {
        const n = next++;
        await queue.publish(body(n, 10_000));
        confirmed.add(n);
      }
    };
    const lanes = Array.from({ length: 20 }, () => rejection(lane()));
    await until('some', () => confirmed.size >= 100, { everyMs: 1 });
    await server.kill();
    const errors = await Promise.all(lanes);
    expect(errors.every((error) => error instanceof QueueUnavailable)).to.equal(true);
    await server.start();
    await until('it is up', () => queue.state.is === 'up', { timeoutMs: 30_000 });
    const seen = await collect(queue);
    await until('all', () => [...confirmed].every((n) => seen.has(n)), { timeoutMs: 30_000 });
  });

  it('a server low on memory: publishes end in bounded time with QueueUnavailable, consuming goes on, and all comes back', async () => {
    const queue = await open();
    await publishMany(queue, 0, 10);
    await lowOnMemory(server);
    try {
      const begin = performance.now();
      expect(await rejection(queue.publish(body(10)))).to.be.instanceOf(QueueUnavailable);
      expect(performance.now() - begin).to.be.lessThan(8_000);
      await until('it is down', () => queue.state.is === 'down');
      const seen = await collect(queue);
      await until('ten', () => seen.size >= 10);
    } finally {
      await memoryBack(server);
    }
    await until('it is up', () => queue.state.is === 'up');
    await queue.publish(body(11));
  });

  it('a flood at a server that confirms nothing is refused above a bound, and every publish is settled', async () => {
    const queue = await open(through(proxy, server, 'heartbeat=30'));
    proxy.freeze();
    let refused = 0;
    const settled = Array.from({ length: 25_000 }, () =>
      rejection(queue.publish(body(0))).then((error) => {
        refused++;
        return error;
      }),
    );
    // What is over the bound is refused before anybody can have waited for a confirm.
    await new Promise((resolve) => setImmediate(resolve));
    const refusedAtOnce = refused;
    const errors = await Promise.all(settled);
    expect(errors.every((error) => error instanceof QueueUnavailable)).to.equal(true);
    expect(refusedAtOnce).to.be.within(1, 15_000);
  });

  it('a queue deleted under a consumer is made again, and the consumer gets what is published then', async () => {
    const queue = await open();
    const seen = await collect(queue);
    await queue.publish(body(0));
    await until('the first', () => seen.has(0));
    await deleteQueue(server.url, name);
    await until('it is made again', async () => {
      await queue.publish(body(1));
      return true;
    });
    await until('the next', () => seen.has(1));
  });

  it('a message that the server cannot route is refused, though the server acknowledges it; the queue is made again', async () => {
    const queue = await open();
    await queue.publish(body(0));
    await deleteQueue(server.url, name);
    expect(await rejection(queue.publish(body(1)))).to.be.instanceOf(QueueUnavailable);
    await until('it takes messages again', () => queue.publish(body(2)).then(() => true));
    const seen = await collect(queue);
    await until('the last', () => seen.has(2));
    expect([...seen]).to.deep.equal([2]);
  });

  it('a full queue refuses with QueueFull without losing its place: the order of what it takes later holds', async () => {
    const queue = await open(server.url, { limits: { maxMessages: 5, maxBytes: 1_000_000 } });
    const kept: number[] = [];
    let refused = 0;
    for (let n = 0; n < 300; n++) {
      const error = await rejection(queue.publish(body(n)));
      if (error === undefined) kept.push(n);
      else refused++;
      if (error !== undefined) expect(error).to.be.instanceOf(QueueFull);
    }
    expect(refused).to.be.greaterThan(0);
    expect(queue.state.is).to.equal('up');
    const seen = await collect(queue);
    await until('all kept', () => seen.size === kept.length);
    expect([...seen]).to.deep.equal(kept);
    await until('it takes messages again', () => queue.publish(body(1_000)).then(() => true));
  });

  it('a consumer that the server finds too slow (consumer_timeout) is restored', async () => {
    // Read when a channel is opened. From 3.12 on the queue's own limit wins over the server's.
    await setting('consumer_timeout', '1000');
    await setting('channel_tick_interval', '500');
    await declareByHand(server.url, name, { 'x-consumer-timeout': 1_000 });
    let release = () => {};
    const held = new Promise<void>((resolve) => {
      release = resolve;
    });
    try {
      const queue = await open();
      await queue.publish(body(0));
      const attempts: number[] = [];
      await queue.consume(
        async ({ attempt }) => {
          attempts.push(attempt);
          if (attempts.length === 1) await held;
        },
        { prefetch: 2 },
      );
      await until('it comes again', () => attempts.length >= 2, { timeoutMs: 60_000 });
      release();
      await until('nothing is left', async () => (await queue.depth()) === 0);
      // From 4.3 on such a return does not count as an attempt.
      expect(attempts.join()).to.be.oneOf(['1,2', '1,1']);
    } finally {
      release();
      await setting('consumer_timeout', '1800000');
      await setting('channel_tick_interval', '60000');
    }
  });

  it('a queue that exists with another consumer time-out, or without one, is used as it is', async () => {
    for (const timeout of [{ 'x-consumer-timeout': 600_000 }, {}]) {
      name = `test.${randomUUID()}`;
      await declareByHand(server.url, name, timeout);
      const queue = await open();
      const seen = await collect(queue);
      await queue.publish(body(0));
      await until('the message', () => seen.has(0));
    }
  });

  it('a handler that always fails sees its attempt grow at every delivery', async () => {
    const queue = await open();
    await queue.publish(body(0));
    const attempts: number[] = [];
    await queue.consume(
      async ({ attempt }) => {
        attempts.push(attempt);
        if (attempt < 5) throw new Error('not yet');
      },
      { prefetch: 4 },
    );
    await until('nothing is left', async () => (await queue.depth()) === 0);
    expect(attempts).to.deep.equal([1, 2, 3, 4, 5]);
  });

  it('handlers that end while their connection is given up harm nobody; their messages come again', async () => {
    const queue = await open(through(proxy, server));
    await publishMany(queue, 0, 4);
    const waiting: (() => void)[] = [];
    const seen: number[] = [];
    const consumer = await queue.consume(
      async (delivery) => {
        const n = numberOf(delivery.body);
        if (waiting.length === 4) return void seen.push(n);
        await new Promise<void>((resolve, reject) =>
          waiting.push(n % 2 === 0 ? resolve : () => reject(new Error('no'))),
        );
      },
      { prefetch: 4 },
    );
    await until('four at work', () => waiting.length === 4);
    // The server hears nothing of the goodbye, so that the connection stays half closed for a while.
    proxy.freeze();
    consumer.restart();
    for (const end of waiting) end();
    proxy.thaw();
    await until('all have come again', () => seen.length === 4);
    await until('nothing is left', async () => (await queue.depth()) === 0);
  });

  it('publishes while the connection is made anew are refused, and take no place among the unconfirmed', async () => {
    await open();
    const publisher = await ConfirmPublisher.open({
      url: through(proxy, server),
      name: `${name} (a test)`,
      queue: name,
      prepare: async () => {},
      confirmTimeoutMs: 5_000,
      unavailable: (why, cause) => new QueueUnavailable(why, { cause }),
      refused: () => new QueueFull('full'),
    });
    try {
      const { connection } = publisher.link;
      if (!connection) throw new Error('not connected');
      proxy.freeze();
      publisher.link.reset(connection, 'a test');
      // More than may be unconfirmed at once.
      const errors = await Promise.all(
        Array.from({ length: 70 }, () => rejection(publisher.publish(new Uint8Array(1024 ** 2)))),
      );
      expect(errors.every((error) => error instanceof QueueUnavailable)).to.equal(true);
      proxy.thaw();
      await until('it is up again', () => publisher.link.connection !== connection && publisher.link.state.is === 'up');
      await publisher.publish(body(0));
    } finally {
      await publisher.close();
    }
  });

  it('publish resolves after the write-ahead log of the queue was synced to disk', async () => {
    const queue = await open();
    await queue.publish(body(0));
    const trace = await traceServer(server);
    const begin = Date.now() / 1_000;
    await queue.publish(body(1, 10_000));
    const end = Date.now() / 1_000 + 0.001;
    const calls = (await trace.stop()).filter((call) => call.path.endsWith('.wal'));
    const write = calls.find((call) => call.name.includes('write') && call.at >= begin && call.result > 10_000);
    const sync = calls.find((call) => call.name.endsWith('sync') && call.result === 0 && call.at >= (write?.at ?? end));
    expect(write, 'a write of the message').not.to.equal(undefined);
    expect(sync?.at, 'a sync after it').to.be.below(end);
  });
});

async function collect(queue: Queue): Promise<Set<number>> {
  const seen = new Set<number>();
  await queue.consume(async (delivery) => void seen.add(numberOf(delivery.body)), { prefetch: 100 });
  return seen;
}

async function publishMany(queue: Queue, from: number, to: number): Promise<void> {
  await Promise.all(Array.from({ length: to - from }, (_, i) => queue.publish(body(from + i))));
}

function numberOf(message: Uint8Array): number {
  return Number(Buffer.from(message).toString());
}
