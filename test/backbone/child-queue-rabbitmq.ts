import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { given, queueChild } from './child-tasks.ts';

await queueChild(() => openRabbitQueue(given('AMQP_URL'), { name: given('QUEUE_NAME') }));
