import { dirname, resolve } from 'node:path';
import { registryFile } from '../backbone/open.ts';
import type { Config } from '../core/config.ts';
import { ClockVotes } from '../workers/clock-votes.ts';
import { UndatedWorker } from '../workers/undated.ts';
import type { BudgetGroup } from '../workers/work-budget.ts';
import { Worker } from '../workers/worker.ts';
import type { PreparedRole, RoleContext } from './context.ts';

/**
 * The worker role: takes messages from the queue and from the slow queue, and writes their readings to the store and the live log.
 */
export async function prepareWorker({ log, ports, metrics, config }: RoleContext): Promise<PreparedRole> {
  const registry = await ports.registry();
  const group: BudgetGroup = new Set();
  const votes = new ClockVotes({ log, metrics });
  const common = {
    registry,
    store: await ports.store(),
    live: await ports.liveLog(),
    dead: await ports.deadLog(),
    openTrials: await ports.attemptsLog(),
    decodeMs: config.decodeMs,
    payloadBytes: config.payloadKb * 1024,
    group,
    log,
    metrics,
    undated: await ports.undatedQueue(),
    votes,
  };
  const queue = await ports.queue();
  const slow = await ports.slowQueue();
  const slowWorker = new Worker({
    ...common,
    isSlow: true,
    queue: slow,
    codecFolder: codecFolder(config),
  });
  const worker = new Worker({ ...common, queue, slow });
  const { undated, live } = common;
  const undatedWorker = new UndatedWorker({ undated, queue, live, clocks: await ports.clocks(), log, metrics });
  return {
    parts: [votes, slowWorker, worker, undatedWorker],
    health: () => [
      ...worker.health(),
      ...slowWorker.health(),
      ...undatedWorker.health(),
      votes.health(),
      ...registry.health(),
    ],
  };
}

/** Files with codecs lie beside the registry, or in the data folder when it is no file. */
function codecFolder({ registry, data }: Config): string {
  const file = registryFile(registry);
  return file === undefined ? resolve(data) : dirname(resolve(file));
}
