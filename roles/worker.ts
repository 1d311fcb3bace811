import { Worker } from '../workers/worker.ts';
import type { PreparedRole, RoleContext } from './context.ts';

/** The worker role: takes messages from the queue, and writes their readings to the store and the live log. */
export async function prepareWorker({ log, ports, metrics }: RoleContext): Promise<PreparedRole> {
  const registry = await ports.registry();
  const validate = await ports.validate();
  const store = await ports.store();
  const live = await ports.liveLog();
  const dead = await ports.deadLog();
  const openTrials = await ports.attemptsLog();
  const queue = await ports.queue();
  const worker = new Worker({ queue, store, live, dead, openTrials, validate, log, metrics });
  return { parts: [worker], health: () => [...worker.health(), registry.health()] };
}
