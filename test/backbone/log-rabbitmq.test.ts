import { randomUUID } from 'node:crypto';
import { connect } from 'amqplib';
import { LIVE_LOG_LIMITS } from '../../backbone/log/port.ts';
import { openRabbitLog } from '../../backbone/log/rabbitmq.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { logContract } from './log-suite.ts';

logContract('RabbitMQ', async () => {
  const { url } = await rabbit();
  const name = randomUUID();
  return {
    open: (limits) => openRabbitLog(url, name, { ...LIVE_LOG_LIMITS, ...limits }, { prefix: 'test.' }),
    startOver: () => deleteStream(url, name),
    trimming: { maxBytes: 2_000_000 },
    supports: { manyOpeners: true },
    child: { script: 'child-log-rabbitmq.ts', env: { AMQP_URL: url, LOG_NAME: name } },
    cleanup: () => deleteStream(url, name),
  };
});

async function deleteStream(url: string, name: string): Promise<void> {
  const connection = await connect(url);
  await (await connection.createChannel()).deleteQueue(`test.${name}`);
  await connection.close();
}
