import { spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { DEAD_LOG_LIMITS, ISOLATION_LOG_LIMITS } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { decodeDead, encodeBatch, type Publish } from '../../telemetry/batch.ts';
import { PoisonIsolation } from '../../workers/poison-isolation.ts';
import { deleteQueue } from '../backbone/rabbitmq-help.ts';
import { overlay } from '../gateway/harness.ts';
import { itIfLong, shortOrLong } from '../services/length.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { consumedBy, listening, numberedPublish, storedSeqs, Workbench, wrapped } from './bench.ts';

const CHILD = fileURLToPath(new URL('./child-worker.ts', import.meta.url));

function guilty(sensor: string): Publish {
  return { ...numberedPublish(sensor, 0), payload: Buffer.from('this kills') };
}

/** Runs a worker until it ends; resolves to how. */
async function lifeOf(folder: string): Promise<number | string> {
  const child = spawn(process.execPath, ['--import', 'tsx', CHILD, folder], { stdio: 'inherit' });
  const [code, signal] = await once(child, 'exit');
  return code ?? signal;
}

describe('a queue message that kills workers', function () {
  this.timeout(240_000);

  itIfLong(
    'is taken apart over some of their lives until the guilty publish stands alone; all others are stored',
    async () => {
      const folder = await temporaryFolder();
      const queue = await openFileQueue(`${folder}/queue`);
      const innocent = (from: number) => shortOrLong([0], [0, 1, 2]).map((i) => numberedPublish('s1', from + i));
      await queue.publish(encodeBatch({ id: 'before', publishes: innocent(0) }));
      await queue.publish(encodeBatch({ id: 'bad', publishes: [...innocent(10), guilty('s2')] }));
      await queue.publish(encodeBatch({ id: 'after', publishes: innocent(20) }));
      await queue.publish(encodeBatch({ id: 'single', publishes: [numberedPublish('s1', 30)] }));
      await queue.close();

      const lives: (number | string)[] = [];
      do lives.push(await lifeOf(folder));
      while (lives.at(-1) === 'SIGKILL' && lives.length < 20);
      expect(lives.at(-1)).to.equal(0);
      // Four in company; then the whole message, its second half and the guilty publish, twice each.
      expect(lives).to.have.length.of.at.most(4 + 3 * 2 + 1);

      const store = await openDuckdbStore(`${folder}/readings.duckdb`);
      const dead = await openFileLog(`${folder}/log`, 'dead', DEAD_LOG_LIMITS);
      try {
        expect([...(await storedSeqs(store, 's1')).keys()]).to.have.members([
          ...[0, 10, 20].flatMap((from) => innocent(from).map((_, i) => from + i)),
          30,
        ]);
        const letters = (await dead.read('first', 100)).map((entry) => decodeDead(entry.body));
        expect(letters.map(({ reason, publish }) => [reason, publish.sensor])).to.deep.equal([['poison', 's2']]);
        expect(Buffer.from(letters[0]?.publish.payload ?? []).toString()).to.equal('this kills');
      } finally {
        await store.close();
        await dead.close();
      }
    },
  );

  const name = `test.${randomUUID()}`;
  const queues: Record<string, { open: () => Promise<Queue>; remove: () => Promise<void> }> = {
    embedded: {
      open: async () => openFileQueue(`${await temporaryFolder()}/queue`),
      remove: async () => {},
    },
    RabbitMQ: {
      open: async () => openRabbitQueue((await rabbit()).url, { name, settleMs: 0 }),
      remove: async () => deleteQueue((await rabbit()).url, name),
    },
  };
  for (const [kind, { open, remove }] of Object.entries(queues)) {
    it(`is taken apart too when it only fails, without a death (${kind})`, async () => {
      const bench = await Workbench.open();
      const queue = await open();
      const store = await openDuckdbStore(`${await temporaryFolder()}/readings.duckdb`);
      const { log } = listening();
      try {
        const innocent = [0, 1, 2, 3, 4, 5, 6].map((i) => numberedPublish('s1', i));
        await queue.publish(encodeBatch({ id: 'bad', publishes: [...innocent, guilty('s2')] }));
        await queue.publish(encodeBatch({ id: 'good', publishes: [numberedPublish('s1', 7)] }));
        await bench.work(store, log, {
          queue,
          decodedBy: (decoder) =>
            wrapped(decoder, (_, publishes) => {
              if (publishes.some(({ sensor }) => sensor === 's2')) throw new TypeError('a fault in the code');
            }),
        });
        await until('the queue is empty', async () => (await queue.depth()) === 0, { timeoutMs: 60_000 });
        expect([...(await storedSeqs(store, 's1')).keys()]).to.have.members([0, 1, 2, 3, 4, 5, 6, 7]);
        expect((await bench.letters()).map(({ reason, publish }) => [reason, publish.sensor])).to.deep.equal([
          ['poison', 's2'],
        ]);
      } finally {
        await bench.close();
        await queue.close();
        await remove();
        await store.close();
      }
    });
  }

  it('is not looked for among messages that came back because connections broke: they are worked on beside each other', async () => {
    const bench = await Workbench.open();
    const store = await openDuckdbStore(`${await temporaryFolder()}/readings.duckdb`);
    const { log } = listening();
    const often = consumedBy(bench.queue, (handler, options) =>
      bench.queue.consume((delivery) => handler({ ...delivery, attempt: delivery.attempt + 5 }), options),
    );
    let atWork = 0;
    let together = () => {};
    const all = new Promise<void>((resolve) => {
      together = resolve;
    });
    try {
      for (let i = 0; i < 20; i++) await bench.publish(`b${i}`, [numberedPublish('s1', i)]);
      await bench.work(store, log, {
        queue: often,
        decodedBy: (decoder) => ({
          decode: async function* (body, part) {
            atWork += 1;
            if (atWork === 20) together();
            await all;
            yield* decoder.decode(body, part);
          },
          get trouble() {
            return decoder.trouble;
          },
          get isStarting() {
            return decoder.isStarting;
          },
          close: () => decoder.close(),
        }),
      });
      await bench.emptied();
      expect((await storedSeqs(store, 's1')).size).to.equal(20);
      expect(await bench.letters()).to.deep.equal([]);
    } finally {
      await bench.close();
      await store.close();
    }
  });

  it('has to be tried alone when an attempt in company had no end, and not when that ended; many ask with one look at the log', async () => {
    const folder = await temporaryFolder();
    const trials = await openFileLog(folder, 'trials', ISOLATION_LOG_LIMITS);
    let reads = 0;
    const counted = overlay(trials, {
      read: (from, limit) => {
        reads += 1;
        return trials.read(from, limit);
      },
    });
    const { log } = listening();
    const { signal } = new AbortController();
    const isolation = () => new PoisonIsolation({ open: async () => counted, log, signal });
    const messages = Array.from({ length: 100 }, (_, i) =>
      encodeBatch({ id: `b${i}`, publishes: [numberedPublish('s1', i)] }),
    );
    try {
      const first = isolation();
      const attempts = await Promise.all(messages.map((body) => first.inCompany(body)));
      expect(attempts.filter((attempt) => attempt === undefined)).to.deep.equal([]);
      expect(reads).to.be.at.most(4);
      await Promise.all(attempts.slice(1).map((attempt) => attempt?.ended()));
      const another = isolation();
      const again = await Promise.all(messages.map((body) => another.inCompany(body)));
      expect(again.map((attempt) => attempt === undefined)).to.deep.equal(messages.map((_, i) => i === 0));
    } finally {
      await trials.close();
    }
  });

  it('is let go when there is nothing in it to take apart', async () => {
    const bench = await Workbench.open();
    const store = await openDuckdbStore(`${await temporaryFolder()}/readings.duckdb`);
    const { log } = listening();
    try {
      await bench.publish('empty', []);
      await bench.publish('good', [numberedPublish('s1', 7)]);
      await bench.work(store, log, {
        decodedBy: (decoder) =>
          wrapped(decoder, (_, publishes) => {
            if (publishes.length === 0) throw new TypeError('a fault in the code');
          }),
      });
      await bench.emptied(30_000);
      expect([...(await storedSeqs(store, 's1')).keys()]).to.deep.equal([7]);
      expect(await bench.letters()).to.deep.equal([]);
    } finally {
      await bench.close();
      await store.close();
    }
  });
});
