import { expect } from 'chai';
import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { DEAD_LOG_LIMITS, LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { silent } from '../../core/logger.ts';
import { decodeBatch, encodeBatch } from '../../telemetry/batch.ts';
import { Worker } from '../../workers/worker.ts';
import { itIfLong } from '../services/length.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { numberedPublish, storedSeqs, wrapped } from './bench.ts';

describe('four workers on one RabbitMQ queue', function () {
  this.timeout(120_000);

  itIfLong('share the work evenly within 20 %', async () => {
    const { url } = await rabbit();
    const name = `shared.${process.pid}`;
    const folder = await temporaryFolder();
    const store = await openDuckdbStore(`${folder}/readings.duckdb`);
    const live = await openFileLog(`${folder}/log`, 'live', LIVE_LOG_LIMITS);
    const dead = await openFileLog(`${folder}/log`, 'dead', DEAD_LOG_LIMITS);
    const queues = await Promise.all([0, 1, 2, 3].map(() => openRabbitQueue(url, { name, settleMs: 0 })));
    const counts = queues.map(() => 0);
    const workers = queues.map(
      (queue, i) =>
        new Worker({
          queue,
          store,
          live,
          dead,
          openTrials: () => Promise.reject(new Error('nothing comes that often')),
          log: silent,
          prefetch: 16,
          decodedBy: (decoder) =>
            wrapped(decoder, (body) => {
              counts[i] = (counts[i] ?? 0) + decodeBatch(body).publishes.length;
            }),
        }),
    );
    try {
      for (const worker of workers) await worker.start();
      const [first] = queues;
      const messages = 4_000;
      await Promise.all(
        Array.from({ length: messages }, (_, i) => {
          return first?.publish(encodeBatch({ id: `m${i}`, publishes: [numberedPublish('s1', i)] }));
        }),
      );
      await until(
        'the queue is empty',
        async () => (await first?.depth()) === 0 && counts.reduce((a, b) => a + b) >= messages,
        { timeoutMs: 60_000 },
      );
      expect(counts.reduce((sum, count) => sum + count)).to.equal(messages);
      for (const count of counts) expect(count, String(counts)).to.be.within(messages / 5, (messages * 3) / 10);
      for (const worker of workers) await worker.stop(5_000);
      expect((await storedSeqs(store, 's1')).size).to.equal(messages);
    } finally {
      for (const queue of queues) await queue.close();
      await live.close();
      await dead.close();
      await store.close();
    }
  });
});
