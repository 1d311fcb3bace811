import { openFileQueue } from '../../backbone/segments/queue.ts';
import { given, queueChild } from './child-tasks.ts';

await queueChild(() => openFileQueue(given('QUEUE_DIR')));
