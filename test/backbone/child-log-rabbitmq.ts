import { LIVE_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openRabbitLog } from '../../backbone/rabbitmq/log.ts';
import { given, logChild } from './child-tasks.ts';

await logChild(() => openRabbitLog(given('AMQP_URL'), given('LOG_NAME'), LIVE_LOG_LIMITS, { prefix: 'test.' }));
