import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { DEAD_LOG_LIMITS } from '../../backbone/log/port.ts';
import { openRabbitLog } from '../../backbone/log/rabbitmq.ts';
import { openLmdbQueue } from '../../backbone/queue/lmdb.ts';
import { silent } from '../../core/logger.ts';
import { DeadLetterDesk } from '../../dashboard-gateway/dead-letters/desk.ts';
import { encodeDead } from '../../telemetry/batch.ts';
import { parseRegistry } from '../../telemetry/registry.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { deleteQueue } from './rabbitmq-help.ts';

describe('RabbitMQ: the list of dead letters', () => {
  it('is whole in every gateway, and a letter that one has replayed is not replayed by another', async () => {
    const { url } = await rabbit();
    const name = randomUUID();
    const open = () => openRabbitLog(url, name, DEAD_LOG_LIMITS, { prefix: 'test.', settleMs: 0 });
    const logs = [await open(), await open()];
    const queue = await openLmdbQueue(await temporaryFolder());
    const registry = { current: () => parseRegistry('farms: []'), watch: () => () => {} };
    const desks = logs.map(
      (dead) => new DeadLetterDesk({ dead, limits: DEAD_LOG_LIMITS, queue, registry, logger: silent, now: Date.now }),
    );
    const all = { state: 'all', limit: 200 } as const;
    const seen = (desk: DeadLetterDesk | undefined) => desk?.list('north', all);
    try {
      for (let i = 0; i < 20; i++) {
        const topic = 'farms/north/sensors/s1/telemetry';
        const publish = {
          farm: 'north',
          field: 'f1',
          sensor: 's1',
          topic,
          payload: Buffer.from(`{"n":${i}`),
          received: i,
        };
        await logs[i % 2]?.append(encodeDead({ publish, reason: 'not_json', explanation: 'not JSON', at: Date.now() }));
      }
      await Promise.all(desks.map((desk) => desk.start()));
      const page = await until('the list', async () => {
        const found = await seen(desks[0]);
        return found?.letters.length === 20 && found;
      });
      const received = page.letters.map(({ letter }) => letter.publish.received);
      expect(received).to.deep.equal(Array.from({ length: 20 }, (_, i) => 19 - i));
      const offset = page.letters[3]?.listed.offset ?? -1;
      await desks[0]?.replay('north', offset, 'ada');
      expect(await queue.depth()).to.equal(1);
      await until('the other gateway knows', async () => {
        const found = await seen(desks[1]);
        return found?.letters.find(({ listed }) => listed.offset === offset)?.listed.state === 'replayed';
      });
      const again = await desks[1]?.replay('north', offset, 'sam').catch(String);
      expect(again).to.match(/replayed already/);
      expect(await queue.depth()).to.equal(1);
    } finally {
      await Promise.all(desks.map((desk) => desk.stop()));
      await Promise.all(logs.map((log) => log.close()));
      await queue.close();
      await deleteQueue(url, `test.${name}`);
    }
  });
});
