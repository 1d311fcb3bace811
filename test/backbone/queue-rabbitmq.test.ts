import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import { DEFAULT_QUEUE_LIMITS } from '../../backbone/queue/port.ts';
import { openRabbitQueue } from '../../backbone/queue/rabbitmq.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { queueContract } from './queue-suite.ts';

queueContract('RabbitMQ', async () => {
  const { url } = await rabbit();
  const name = `test.${randomUUID()}`;
  return {
    open: (limits) => openRabbitQueue(url, { name, limits: { ...DEFAULT_QUEUE_LIMITS, ...limits } }),
    supports: { manyOpeners: true, exactLimits: false },
    child: { script: 'child-queue-rabbitmq.ts', env: { AMQP_URL: url, QUEUE_NAME: name } },
    cleanup: () => deleteQueue(url, name),
  };
});

async function deleteQueue(url: string, name: string): Promise<void> {
  const connection = await connect(url);
  await (await connection.createChannel()).deleteQueue(name);
  await connection.close();
}
