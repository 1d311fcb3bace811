import { rm } from 'node:fs/promises';
import { openLmdbQueue } from '../../backbone/queue/lmdb.ts';
import { DEFAULT_QUEUE_LIMITS } from '../../backbone/queue/port.ts';
import { temporaryFolder } from '../services/wait.ts';
import { queueContract } from './queue-suite.ts';

queueContract('LMDB', async () => {
  const folder = await temporaryFolder();
  return {
    open: (limits) => openLmdbQueue(folder, { ...DEFAULT_QUEUE_LIMITS, ...limits }),
    supports: { manyOpeners: false, exactLimits: true },
    child: { script: 'child-queue-lmdb.ts', env: { QUEUE_DIR: folder } },
    cleanup: () => rm(folder, { recursive: true }),
  };
});
