import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { DEAD_LOG_LIMITS, LIVE_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Consumer, Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { StoreUnavailable } from '../../core/errors.ts';
import { encodeBatch } from '../../telemetry/batch.ts';
import { Worker } from '../../workers/worker.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { consumedBy, listening, numberedPublish, storedSeqs } from './bench.ts';

const BEAT_MS = 20;

/** The store, but a write may get stuck in it and never be heard of again. */
function sticky(store: Store): Store & { stick(how: 'silent' | 'away' | 'not'): void; stuck: number } {
  let how: 'silent' | 'away' | 'not' = 'not';
  const wrapped = {
    stuck: 0,
    stick: (next: 'silent' | 'away' | 'not') => {
      how = next;
    },
    write: (readings: Parameters<Store['write']>[0]) => {
      if (how === 'not') return store.write(readings);
      wrapped.stuck += 1;
      if (how === 'away') return Promise.reject(new StoreUnavailable('away'));
      return new Promise<void>(() => {});
    },
    latest: (farm: string) => store.latest(farm),
    history: (query: Parameters<Store['history']>[0]) => store.history(query),
    export: (query: Parameters<Store['export']>[0]) => store.export(query),
    get state() {
      return store.state;
    },
    watch: (listener: Parameters<Store['watch']>[0]) => store.watch(listener),
    close: () => store.close(),
  };
  return wrapped;
}

/** The queue, but a consumer is given nothing until it takes a new connection. */
function deaf(queue: Queue): Queue {
  return consumedBy(queue, async (handler, options) => {
    let heard: Promise<Consumer> | undefined;
    return {
      restart: () => {
        heard ??= queue.consume(handler, options);
      },
      waiting: () => [],
      stop: async () => (await heard)?.stop(),
    };
  });
}

describe('a worker that stands still', function () {
  this.timeout(60_000);
  const open: { close(): Promise<void> }[] = [];
  const workers: Worker[] = [];
  let live: Log;
  let dead: Log;
  let store: ReturnType<typeof sticky>;

  beforeEach(async () => {
    const folder = await temporaryFolder();
    live = await openFileLog(`${folder}/log`, 'live', LIVE_LOG_LIMITS);
    dead = await openFileLog(`${folder}/log`, 'dead', DEAD_LOG_LIMITS);
    store = sticky(await openDuckdbStore(`${folder}/readings.duckdb`));
    open.push(live, dead, store);
  });

  afterEach(async () => {
    for (const worker of workers.splice(0)) await worker.stop(1_000);
    for (const part of open.splice(0).reverse()) await part.close();
  });

  async function begin(name: string, as: (queue: Queue) => Queue = (queue) => queue) {
    const { url } = await rabbit();
    const queue = as(await openRabbitQueue(url, { name: `${name}.${process.pid}.${Date.now()}`, settleMs: 0 }));
    open.push(queue);
    const { log, lines } = listening();
    const openTrials = () => Promise.reject(new Error('nothing comes that often'));
    // Thirty beats without progress, whatever a beat is.
    const worker = new Worker({ queue, store, live, dead, openTrials, log, beatMs: BEAT_MS });
    workers.push(worker);
    await worker.start();
    const health = () => worker.health().find((check) => check.name === 'worker');
    return { queue, worker, lines, health };
  }

  it('says so, is not ready, gets a new connection and finishes what it held', async () => {
    const { queue, lines, health } = await begin('stuck');
    store.stick('silent');
    await queue.publish(encodeBatch({ id: 'm', publishes: [numberedPublish('s1', 1)] }));
    await until('a write is stuck', () => store.stuck > 0);
    expect(health()?.ok).to.equal(true);
    await until('the worker is not healthy', () => health()?.ok === false);
    expect(health()?.why).to.match(/1 messages are held/);
    await until('it has started over and is stuck again', () => store.stuck > 1);
    expect(lines.filter((line) => line.includes('stands still'))).to.have.length.of.at.least(1);
    store.stick('not');
    // Given out to a connection that is gone, it may count as neither waiting nor held for a moment.
    await until('it is stored', async () => (await storedSeqs(store, 's1')).size === 1);
    await until('the queue is empty', async () => (await queue.depth()) === 0);
    expect([...(await storedSeqs(store, 's1')).entries()]).to.deep.equal([[1, 1]]);
    expect(health()?.ok).to.equal(true);
  });

  it('says so and gets a new connection when work waits and none comes', async () => {
    const { queue, lines, health } = await begin('deaf', deaf);
    // Nothing to do is no reason.
    await new Promise((resolve) => setTimeout(resolve, 60 * BEAT_MS));
    expect(health()?.ok).to.equal(true);
    await queue.publish(encodeBatch({ id: 'm', publishes: [numberedPublish('s1', 1)] }));
    await until('it has said so', () => lines.some((line) => /1 messages wait and none comes/.test(line)));
    await until('the queue is empty', async () => (await queue.depth()) === 0);
    expect([...(await storedSeqs(store, 's1')).entries()]).to.deep.equal([[1, 1]]);
    expect(health()?.ok).to.equal(true);
  });

  it('is left alone while it waits for something that is known to be away', async () => {
    const { queue, lines, health } = await begin('waiting');
    store.stick('away');
    await queue.publish(encodeBatch({ id: 'm', publishes: [numberedPublish('s1', 1)] }));
    await until('the store was tried for longer than the watchdog waits', () => store.stuck >= 6);
    expect(health()?.ok).to.equal(true);
    expect(lines.filter((line) => line.includes('stands still'))).to.deep.equal([]);
    store.stick('not');
    await until('the queue is empty', async () => (await queue.depth()) === 0);
  });
});
