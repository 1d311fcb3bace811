import { openSpool } from '../../backbone/spool/spool.ts';
import { QueueUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { given, queueChild } from './child-tasks.ts';

// The far queue is never reached.
const openFar = () => Promise.reject(new QueueUnavailable('the line is cut'));
await queueChild(() => openSpool({ dir: given('QUEUE_DIR'), maxBytes: 10 ** 9, openFar, log: silent }));
