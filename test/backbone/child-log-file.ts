import { LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { given, logChild } from './child-tasks.ts';

await logChild(() => openFileLog(given('LOG_DIR'), 'log', LIVE_LOG_LIMITS));
