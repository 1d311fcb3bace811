import { openLmdbLog } from '../../backbone/lmdb/log.ts';
import { LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { given, logChild } from './child-tasks.ts';

await logChild(() => openLmdbLog(given('LOG_DIR'), 'log', LIVE_LOG_LIMITS));
