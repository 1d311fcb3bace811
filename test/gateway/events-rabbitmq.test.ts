import { randomUUID } from 'node:crypto';
import { expect } from 'chai';
import { EVENT_LOG_LIMITS, LIVE_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import { openRabbitLog } from '../../backbone/rabbitmq/log.ts';
import { encodeLive } from '../../telemetry/batch.ts';
import { decodeEvent } from '../../telemetry/event.ts';
import { deleteQueue } from '../backbone/rabbitmq-help.ts';
import { rabbit } from '../services/rabbitmq.ts';
import { until } from '../services/wait.ts';
import { Place, reading } from './harness.ts';

const T = 1_764_000_000_000;

describe('RabbitMQ: the event log', function () {
  this.timeout(120_000);

  it('gets each event of every gateway once, with the same id, and of one that starts anew no event again', async () => {
    const { url } = await rabbit();
    const names = { live: randomUUID(), events: randomUUID() };
    const options = { prefix: 'test.', settleMs: 0 };
    const opened: Log[] = [];
    const open = async () => {
      const live = await openRabbitLog(url, names.live, LIVE_LOG_LIMITS, options);
      const events = await openRabbitLog(url, names.events, EVENT_LOG_LIMITS, options);
      opened.push(live, events);
      return { live, events };
    };
    const place = await Place.open();
    try {
      const [one, two] = [await open(), await open()];
      const announce = (moisture: number) =>
        one.live.append(encodeLive({ id: randomUUID(), readings: [reading({ ts: T, values: { moisture } })] }));
      const recorded = async () =>
        (await one.events.read('first', 1_000)).flatMap(({ body }) => {
          const event = decodeEvent(body);
          return event?.kind === 'overwritten' ? [event] : [];
        });
      const count = (wanted: number) =>
        until(`${wanted} events`, async () => {
          const found = await recorded();
          return found.length >= wanted && found;
        });
      await place.gateway(one);
      const second = await place.gateway(two);
      await announce(1);
      await announce(2);
      const [first, again] = await count(2);
      expect(again?.id).to.equal(first?.id);
      expect(again).to.include({ old: 1, new: 2 });

      await second.stop(5_000);
      place.gateways.pop();
      await announce(3);
      await count(3);
      await place.gateway(await open());
      await announce(4);
      const events = await count(5);
      expect(events.map(({ old, new: fresh }) => [old, fresh]).sort()).to.deep.equal([
        [1, 2],
        [1, 2],
        [2, 3],
        [3, 4],
        [3, 4],
      ]);
      expect(new Set(events.map(({ id }) => id)).size).to.equal(3);
    } finally {
      await place.close();
      await Promise.all(opened.map((log) => log.close()));
      for (const name of Object.values(names)) await deleteQueue(url, `test.${name}`);
    }
  });
});
