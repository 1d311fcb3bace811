import { connect } from 'amqplib';
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
