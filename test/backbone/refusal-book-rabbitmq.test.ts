import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { RefusalBook } from '../../backbone/events/refusal-book.ts';
import { REFUSALS_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openRabbitLog } from '../../backbone/rabbitmq/log.ts';
import { silent } from '../../core/logger.ts';
import { eventsOfLog } from '../../dashboard-gateway/events/event-source.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { deleteQueue } from './rabbitmq-help.ts';

describe('RabbitMQ: the log of refusals', function () {
  this.timeout(120_000);

  it('is read from its newest entry back, page by page, over what the stream keeps between its entries', async () => {
    const { url } = await rabbit();
    const name = randomUUID();
    const log = await openRabbitLog(url, name, REFUSALS_LOG_LIMITS, { prefix: 'test.', settleMs: 0 });
    try {
      const refusals = new RefusalBook({ refusals: log, logger: silent });
      for (let i = 0; i < 40; i++)
        refusals.note({
          kind: 'mqtt_refused',
          from: `10.0.0.${i}`,
          why: 'wrong_password',
          who: `p${i}`,
          isKnown: true,
        });
      await refusals.stop();
      const found: string[] = [];
      for (let before: number | undefined; before !== 0; ) {
        const page = await eventsOfLog(log)(before, { fits: () => true, since: 0, limit: 15 });
        found.push(...page.found.flatMap(({ event }) => ('who' in event ? event.who : [])));
        before = page.reached;
      }
      expect(found).to.deep.equal(Array.from({ length: 40 }, (_, i) => `p${39 - i}`));
    } finally {
      await log.close();
      await deleteQueue(url, `test.${name}`);
    }
  });
});
