import { connect } from 'amqplib';
import { DEFAULT_QUEUE_LIMITS } from '../../backbone/ports/queue.ts';
import type { Proxy as NetworkProxy } from '../services/proxy.ts';
import type { RabbitServer } from '../services/rabbitmq.ts';

/** Deletes a queue or a stream behind everybody's back. */
export async function deleteQueue(url: string, name: string): Promise<void> {
  const connection = await connect(url);
  await (await connection.createChannel()).deleteQueue(name);
  await connection.close();
}

/** The server's address by way of the proxy. */
export function through(proxy: NetworkProxy, server: RabbitServer, query = ''): string {
  const url = new URL(server.url);
  url.port = String(proxy.port);
  url.search = query;
  return url.toString();
}

/** Makes the server think that it has no memory left, until `memoryBack`. */
export async function lowOnMemory(server: RabbitServer): Promise<void> {
  await server.ctl('set_vm_memory_high_watermark', 'absolute', '1MB');
}

export async function memoryBack(server: RabbitServer): Promise<void> {
  await server.ctl('set_vm_memory_high_watermark', 'absolute', '1GB');
}

/** Makes a queue as Loam would on this server, with these arguments beside, or instead of, its own. */
export async function declareByHand(url: string, name: string, others: Record<string, number>): Promise<void> {
  const connection = await connect(url);
  const { maxMessages, maxBytes } = DEFAULT_QUEUE_LIMITS;
  const [major = 0] = connection.connection.serverProperties.version.split('.').map(Number);
  const channel = await connection.createChannel();
  await channel.assertQueue(name, {
    durable: true,
    arguments: {
      'x-queue-type': 'quorum',
      'x-max-length': maxMessages,
      'x-max-length-bytes': maxBytes,
      'x-overflow': 'reject-publish',
      ...(major >= 4 ? { 'x-delivery-limit': -1 } : {}),
      ...others,
    },
  });
  await connection.close();
}
