import { openLmdbQueue } from '../../backbone/lmdb/queue.ts';
import { given, queueChild } from './child-tasks.ts';

await queueChild(() => openLmdbQueue(given('QUEUE_DIR')));
