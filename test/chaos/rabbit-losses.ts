import { setTimeout as delay } from 'node:timers/promises';
import { until } from '../services/wait.ts';
import type { Fault, Harm } from './fault.ts';
import { CLOSE_ALL, NO_POLICY, policy } from './rabbit-faults.ts';
import type { Stage } from './stage.ts';

const QUEUE = 'loam.readings';

/**
 * What operators do to RabbitMQ that takes away what it has confirmed. No worker runs meanwhile, so that something waits in the queue:
 * what is lost then is exactly that. They are asked to end: of one that was killed nobody can know for a day what it had.
 */
export function rabbitLosses({ servers, roles }: Stage): Fault[] {
  const [only] = servers?.rabbits ?? [];
  if (!only || servers?.rabbits.length !== 1) return [];
  const { ctl } = only;
  const workers = Object.values(roles).filter(({ name }) => name.startsWith('worker'));
  const loses = (name: string, happen: Fault['happen']) => destroying(name, 'destroys', happen);
  const destroying = (name: string, harm: Harm, happen: Fault['happen']): Fault => ({
    name,
    harm,
    happen: async (holdMs, dice) => {
      let over = () => {};
      const destroyed = new Promise<void>((resolve) => {
        over = resolve;
      });
      const back = Promise.all(workers.map((worker) => worker.restart(() => destroyed)));
      try {
        await until('something to wait in the queue', waits, { timeoutMs: 60_000, everyMs: 500 });
        await happen(holdMs, dice);
      } finally {
        over();
      }
      await back;
    },
  });
  const waits = async () => {
    const lines = await ctl('-q', 'list_queues', 'name', 'messages_ready');
    return lines.split('\n').some((line) => line.startsWith(`${QUEUE}\t`) && Number(line.split('\t')[1]) > 20);
  };
  const underPolicy = (name: string, keys: string) =>
    loses(`policy: ${name}`, async (holdMs) => {
      await ctl(...policy(keys));
      await delay(holdMs + 3_000);
      await ctl(...NO_POLICY);
    });
  return [
    loses('queue deleted', async () => void (await ctl('delete_queue', QUEUE))),
    loses('queue purged', async () => void (await ctl('purge_queue', QUEUE))),
    underPolicy('messages live for 2 s', '{"message-ttl":2000}'),
    underPolicy('a queue that nobody uses goes after 2 s', '{"expires":2000}'),
    underPolicy('at most 5 messages, the oldest go', '{"max-length":5,"overflow":"drop-head"}'),
    destroying('vhost deleted, and made again', 'destroysAccount', async (holdMs) => {
      await ctl('delete_vhost', '/');
      await delay(holdMs);
      await ctl('add_vhost', '/');
      await ctl('set_permissions', 'guest', '.*', '.*', '.*');
      await ctl(...CLOSE_ALL);
    }),
  ];
}
