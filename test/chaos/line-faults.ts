import { type BadLine, startBadLine } from './bad-line.ts';
import { type Fault, lasting } from './fault.ts';
import type { Servers } from './stage.ts';

/** What happens to the line between Loam and RabbitMQ. */
export function lineFaults(servers: Servers): Fault[] {
  const { amqp } = servers;
  return [
    lasting(
      'connections to RabbitMQ cut',
      async () => amqp.cut(),
      async () => amqp.restore(),
    ),
    lasting(
      'line to RabbitMQ silent',
      async () => amqp.freeze(),
      async () => amqp.thaw(),
    ),
    byDetour(servers, 'line to RabbitMQ slow', { bytesPerS: 100_000 }),
    byDetour(servers, 'line to RabbitMQ half open: nothing comes back', { silentAfter: 60_000 }),
    byDetour(servers, 'connections to RabbitMQ cut in the middle of publishes', { cutAfter: 60_000 }),
  ];
}

/** All connections go by a bad line for a while. */
function byDetour(servers: Servers, name: string, manner: BadLine): Fault {
  let close = async () => {};
  const anew = () => {
    servers.amqp.cut();
    servers.amqp.restore();
  };
  return lasting(
    name,
    async () => {
      const [node] = servers.rabbits;
      const line = await startBadLine(node?.port ?? 0, manner);
      close = line.close;
      servers.detour.port = line.port;
      anew();
    },
    async () => {
      servers.detour.port = undefined;
      anew();
      await close();
    },
  );
}
