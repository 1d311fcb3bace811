import { type ChannelModel, connect } from 'amqplib';
import { startRabbit } from '../../test/services/rabbitmq.ts';
import { freePort } from '../../test/services/wait.ts';

/** RabbitMQ with its own MQTT plugin, which puts every publish under `farms/` into one durable quorum queue. */
export interface RabbitMqtt {
  readonly url: string;
  readonly version: string;
  /** Deletes what is in the queue, and resolves with how many messages that were. */
  empty(): Promise<number>;
  close(): Promise<void>;
}

const QUEUE = 'from-mqtt';

/** Starts a node of the caller's own. */
export async function startRabbitMqtt(): Promise<RabbitMqtt> {
  const port = await freePort();
  const config = `mqtt.listeners.tcp.1 = 127.0.0.1:${port}\nmqtt.tcp_listen_options.nodelay = true`;
  const server = await startRabbit({ config, plugins: ['rabbitmq_mqtt'] });
  const connection = await connect(server.url);
  const channel = await connection.createChannel();
  await channel.assertQueue(QUEUE, { durable: true, arguments: { 'x-queue-type': 'quorum' } });
  await channel.bindQueue(QUEUE, 'amq.topic', 'farms.#');
  return {
    url: `mqtt://127.0.0.1:${port}`,
    version: await server.version(),
    empty: async () => (await channel.purgeQueue(QUEUE)).messageCount,
    close: async () => {
      await connection.close();
      await server.close();
    },
  };
}

/** A way to empty Loam's own queue on a RabbitMQ server. */
export async function queueEmptier(
  url: string,
  queue: string,
): Promise<{ empty(): Promise<number>; close(): Promise<void> }> {
  const connection: ChannelModel = await connect(url);
  const channel = await connection.createChannel();
  return {
    empty: async () => (await channel.purgeQueue(queue)).messageCount,
    close: () => connection.close(),
  };
}
