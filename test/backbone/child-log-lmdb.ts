import { openLmdbLog } from '../../backbone/log/lmdb.ts';
import { LIVE_LOG_LIMITS } from '../../backbone/log/port.ts';
import { given, logChild } from './child-tasks.ts';

await logChild(() => openLmdbLog(given('LOG_DIR'), 'log', LIVE_LOG_LIMITS));
