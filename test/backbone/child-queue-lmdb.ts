import { openLmdbQueue } from '../../backbone/queue/lmdb.ts';
import { given, queueChild } from './child-tasks.ts';

await queueChild(() => openLmdbQueue(given('QUEUE_DIR')));
