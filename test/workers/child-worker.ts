import { openDuckdbStore } from '../../backbone/duckdb/store.ts';
import { DEAD_LOG_LIMITS, ISOLATION_LOG_LIMITS, LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { silent } from '../../core/logger.ts';
import { Worker } from '../../workers/worker.ts';
import { wrapped } from './bench.ts';

/**
 * A worker in a process of its own, on the embedded parts in the folder that it is given. Some payloads end the process at once, as a
 * fault in native code would. It exits with 0 when the queue is empty.
 */
const [folder = ''] = process.argv.slice(2);
const queue = await openFileQueue(`${folder}/queue`);
const store = await openDuckdbStore(`${folder}/readings.duckdb`);
const live = await openFileLog(`${folder}/log`, 'live', LIVE_LOG_LIMITS);
const dead = await openFileLog(`${folder}/log`, 'dead', DEAD_LOG_LIMITS);
const worker = new Worker({
  queue,
  store,
  live,
  dead,
  openTrials: () => openFileLog(`${folder}/log`, 'trials', ISOLATION_LOG_LIMITS),
  log: silent,
  decodedBy: (decoder) =>
    wrapped(decoder, (_, publishes) => {
      if (publishes.some(({ payload }) => Buffer.from(payload).includes('kills'))) process.kill(process.pid, 'SIGKILL');
    }),
});
await worker.start();
while ((await queue.depth()) > 0) await new Promise((resolve) => setTimeout(resolve, 20));
await worker.stop(2_000);
process.exit(0);
