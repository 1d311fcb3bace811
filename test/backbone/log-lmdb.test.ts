import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { openLmdbLog } from '../../backbone/log/lmdb.ts';
import { LIVE_LOG_LIMITS } from '../../backbone/log/port.ts';
import { temporaryFolder } from '../services/wait.ts';
import { logContract } from './log-suite.ts';

logContract('LMDB', async () => {
  const folder = await temporaryFolder();
  return {
    open: (limits) => openLmdbLog(folder, 'log', { ...LIVE_LOG_LIMITS, ...limits }),
    startOver: () => rm(join(folder, 'log'), { recursive: true }),
    trimming: { maxBytes: 500_000 },
    supports: { manyOpeners: false },
    child: { script: 'child-log-lmdb.ts', env: { LOG_DIR: folder } },
    cleanup: () => rm(folder, { recursive: true }),
  };
});
