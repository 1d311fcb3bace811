import { setTimeout as delay } from 'node:timers/promises';
import type { RabbitServer } from '../services/rabbitmq.ts';
import { type Fault, lasting } from './fault.ts';
import { frozenServer } from './processes.ts';
import type { Servers } from './stage.ts';

/** What happens to RabbitMQ, and what its operators do, that takes nothing away that it has confirmed. */
export function rabbitFaults({ rabbits, down, amqp, http }: Servers): Fault[] {
  const [only] = rabbits;
  if (rabbits.length > 1) {
    return [
      {
        name: 'kill -9 one RabbitMQ node of three',
        happen: async (holdMs, dice) => {
          const node = rabbits[Math.floor(dice.next() * rabbits.length)];
          if (!node) return;
          down.add(node);
          await node.kill();
          await delay(holdMs);
          await node.start();
          down.delete(node);
        },
      },
    ];
  }
  if (!only) return [];
  const { ctl } = only;
  const calls =
    (...each: readonly (readonly string[])[]) =>
    async () => {
      for (const args of each) await ctl(...args);
    };
  return [
    lasting('RabbitMQ stopped', only.stop, only.start),
    { name: 'kill -9 RabbitMQ', happen: () => only.kill().then(only.start) },
    frozenServer('RabbitMQ'),
    lasting("RabbitMQ's application stopped, and started", calls(['stop_app']), calls(['start_app'])),
    lasting(
      'RabbitMQ low on memory',
      calls(['set_vm_memory_high_watermark', 'absolute', '1MB']),
      // What was broken may have stayed so behind the proxy.
      () => ctl('set_vm_memory_high_watermark', 'absolute', '1GB').then(() => amqp.restore()),
    ),
    lasting('RabbitMQ low on disk', calls(['set_disk_free_limit', '9000GB']), calls(['set_disk_free_limit', '50MB'])),
    { name: 'connections closed by an operator', happen: calls(CLOSE_ALL) },
    { name: 'channels of consumers closed by RabbitMQ', happen: calls(['eval', CLOSE_CONSUMERS]) },
    lasting(
      'password changed, and back',
      calls(['change_password', 'guest', 'another'], CLOSE_ALL),
      calls(['change_password', 'guest', 'guest']),
    ),
    lasting(
      'permissions taken, and given back',
      calls(['set_permissions', 'guest', '^$', '^$', '^$'], CLOSE_ALL),
      calls(['set_permissions', 'guest', '.*', '.*', '.*']),
    ),
    lasting(
      'user deleted, and made again',
      calls(['delete_user', 'guest'], CLOSE_ALL),
      calls(['add_user', 'guest', 'guest'], ['set_permissions', 'guest', '.*', '.*', '.*']),
    ),
    lasting(
      'policy: at most 20 messages, the rest refused',
      calls(policy('{"max-length":20,"overflow":"reject-publish"}')),
      calls(NO_POLICY),
    ),
    {
      name: 'consumer time-out of 2 s while the store hangs',
      happen: async (holdMs) => {
        await consumerTimeout(only, 2_000, 1_000);
        http.set(() => 'hang');
        await delay(holdMs + 4_000);
        http.clear();
        await consumerTimeout(only, 1_800_000, 60_000);
      },
    },
  ];
}

export const CLOSE_ALL = ['close_all_connections', '--global', 'closed by an operator'];
export const NO_POLICY = ['clear_policy', 'chaos'];
export const policy = (keys: string) => ['set_policy', 'chaos', '^loam', keys, '--apply-to', 'queues'];

// An acknowledgement that no consumer can have sent: the server closes a channel for it as for a consumer time-out.
const CLOSE_CONSUMERS = `[gen_server2:cast(C, {method, {'basic.ack', 999999999, false}, none, noflow})
  || C <- rabbit_channel:list(), [{consumer_count, N}] <- [rabbit_channel:info(C, [consumer_count])], N > 0].`;

/** Channels take both when they are opened. */
async function consumerTimeout({ ctl }: RabbitServer, ms: number, lookMs: number): Promise<void> {
  const set = (name: string, value: number) => `application:set_env(rabbit, ${name}, ${value})`;
  await ctl('eval', `${set('consumer_timeout', ms)}, ${set('channel_tick_interval', lookMs)}.`);
  await ctl(...CLOSE_ALL);
}
