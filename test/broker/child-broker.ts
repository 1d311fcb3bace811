import { readFile } from 'node:fs/promises';
import { openRabbitQueue } from '../../backbone/rabbitmq/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { Broker } from '../../broker/broker.ts';
import { silent } from '../../core/logger.ts';
import { Book } from '../services/registry.ts';

/** A broker in a process of its own, to be killed. It prints a line when clients can connect. */
const { CHILD_QUEUE = '', CHILD_QUEUE_NAME = '', CHILD_REGISTRY = '', CHILD_PORT = '' } = process.env;

const queue = CHILD_QUEUE.startsWith('amqp')
  ? await openRabbitQueue(CHILD_QUEUE, { name: CHILD_QUEUE_NAME })
  : await openFileQueue(CHILD_QUEUE);
const registry = new Book(await readFile(CHILD_REGISTRY, 'utf8'));
const broker = new Broker({ host: '127.0.0.1', port: Number(CHILD_PORT), queue, registry, log: silent });
await broker.start();
process.stdout.write(`listening on ${broker.port}\n`);
