import { setTimeout as delay } from 'node:timers/promises';
import { diskFaults } from './disk-faults.ts';
import { hostFaults } from './hosts-stage.ts';
import type { Dice } from './random.ts';
import type { Servers, Stage } from './stage.ts';

export interface Fault {
  readonly name: string;
  /** Breaks something, leaves it broken for about `holdMs`, and resolves when it has been mended as far as somebody outside would mend it. */
  readonly happen: (holdMs: number, dice: Dice) => Promise<void>;
}

/** Everything that can be broken on a stage. */
export function faultsOf(stage: Stage): Fault[] {
  if (stage.place) return diskFaults(stage.place);
  const deaths = Object.entries(stage.roles).map(([name, role]) => ({
    name: `kill -9 ${name}`,
    happen: () => role.kill(),
  }));
  const { servers } = stage;
  if (!servers) return deaths;
  const ofHosts = stage.hosts ? hostFaults(stage.hosts) : [];
  return [...deaths, ...storeFaults(servers), ...lineFaults(servers), ...rabbitFaults(servers), ...ofHosts];
}

const isWrite = (url: string) => url.startsWith('/write') || url.startsWith('/api/v2/write');

function storeFaults({ influx, http }: Servers): Fault[] {
  const answering = (name: string, fault: Parameters<typeof http.set>[0]): Fault => ({
    name,
    happen: async (holdMs) => {
      http.set(fault);
      await delay(holdMs);
      http.clear();
    },
  });
  return [
    {
      name: 'InfluxDB stopped',
      happen: async (holdMs) => {
        await influx.stop();
        await delay(holdMs);
        await influx.start();
      },
    },
    {
      name: 'kill -9 InfluxDB',
      happen: async () => {
        await influx.kill();
        await influx.start();
      },
    },
    answering('InfluxDB answers 503', () => ({ status: 503 })),
    answering('InfluxDB does not answer', () => 'hang'),
    answering('InfluxDB answers 429 to writes', ({ url }) => (isWrite(url) ? { status: 429 } : undefined)),
    answering('InfluxDB takes 100 kB at most', ({ body }) => (body.length > 100_000 ? { status: 413 } : undefined)),
  ];
}

function lineFaults({ amqp }: Servers): Fault[] {
  return [
    {
      name: 'connections to RabbitMQ cut',
      happen: async (holdMs) => {
        amqp.cut();
        await delay(holdMs);
        amqp.restore();
      },
    },
    {
      name: 'line to RabbitMQ silent',
      happen: async (holdMs) => {
        amqp.freeze();
        await delay(holdMs);
        amqp.thaw();
      },
    },
  ];
}

function rabbitFaults({ rabbits, down, amqp }: Servers): Fault[] {
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
  return [
    {
      name: 'RabbitMQ stopped',
      happen: async (holdMs) => {
        await only.stop();
        await delay(holdMs);
        await only.start();
      },
    },
    {
      name: 'kill -9 RabbitMQ',
      happen: async () => {
        await only.kill();
        await only.start();
      },
    },
    {
      name: 'RabbitMQ low on memory',
      happen: async (holdMs) => {
        await only.ctl('set_vm_memory_high_watermark', 'absolute', '1MB');
        await delay(holdMs);
        await only.ctl('set_vm_memory_high_watermark', 'absolute', '1GB');
        // What was broken may have stayed so behind the proxy.
        amqp.restore();
      },
    },
  ];
}
