import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import { DeadLetters } from '../../backbone/dead-letters/dead-letters.ts';
import { OVER_QUOTA } from '../../backbone/dead-letters/quota.ts';
import { DEAD_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { openRabbitLog } from '../../backbone/rabbitmq/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { DeadLetterService } from '../../dashboard-gateway/dead-letters/service.ts';
import { encodeDead } from '../../telemetry/batch.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { deleteQueue } from './rabbitmq-help.ts';

const PUBLISH = { farm: 'north', field: 'f1', sensor: 's1', topic: 'farms/north/sensors/s1/telemetry' };

describe('RabbitMQ: dead letters', () => {
  it('are listed whole by every gateway, and a letter that one has replayed is not replayed by another', async () => {
    const { url } = await rabbit();
    const name = randomUUID();
    const open = () => openRabbitLog(url, name, DEAD_LOG_LIMITS, { prefix: 'test.', settleMs: 0 });
    const logs = [await open(), await open()];
    const queue = await openFileQueue(await temporaryFolder());
    const registry = { current: () => parseRegistry('farms: []'), watch: () => () => {} };
    const replays = new BatchEntrance({ name: 'replay' });
    const parts = { limits: DEAD_LOG_LIMITS, queue, replays, registry, logger: silent, now: Date.now };
    const desks = logs.map((dead) => new DeadLetterService({ ...parts, dead }));
    const all = { state: 'all', limit: 200 } as const;
    const seen = (desk: DeadLetterService | undefined) => desk?.list('north', all);
    try {
      for (let i = 0; i < 20; i++) {
        const publish = { ...PUBLISH, payload: Buffer.from(`{"n":${i}`), received: i };
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

  it('of a sensor have one quota for workers of several processes', async () => {
    const { url } = await rabbit();
    const name = randomUUID();
    const logs = await Promise.all(
      [1, 2].map(() => openRabbitLog(url, name, DEAD_LOG_LIMITS, { prefix: 'test.', settleMs: 0 })),
    );
    const quota = { bytes: 1_000, bytesADay: 0 };
    const writers = logs.map((log) => new DeadLetters(log, { logger: silent, metrics: new Metrics(), quota }));
    const [one, two] = writers;
    try {
      if (!one || !two) throw new Error('two writers were made');
      await Promise.all([one.start(), two.start()]);
      const publish = { ...PUBLISH, payload: Buffer.alloc(60, 'x'), received: 1 };
      const letter = { publish, reason: 'not_json', explanation: 'not JSON', at: Date.now() };
      for (let kept = 0; kept < 3; kept++) {
        const admitted = (kept % 2 === 0 ? one : two).admit(letter);
        expect(admitted?.reason).to.equal('not_json');
        if (admitted) await (kept % 2 === 0 ? one : two).append(admitted);
        await until('the other knows', () => one.used(letter) === two.used(letter) && one.used(letter) > 0);
      }
      expect([one.admit(letter)?.reason, two.admit(letter)?.reason]).to.deep.equal([OVER_QUOTA, OVER_QUOTA]);
    } finally {
      await Promise.all(writers.map((each) => each.stop()));
      await Promise.all(logs.map((log) => log.close()));
      await deleteQueue(url, `test.${name}`);
    }
  });
});
