import { expect } from 'chai';
import { StoreRejected } from '../../core/errors.ts';
import { replayMessage } from '../../dashboard-gateway/dead-letters/replay-message.ts';
import { type Batch, decodeBatch, decodeDead, encodeBatch, encodeDead } from '../../telemetry/batch.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { rejectedByStore } from '../../workers/rejected-readings.ts';
import { createValidate } from '../../workers/validate.ts';

/** A receipt that is a whole millisecond, and one with a count. */
const RECEIPTS = [Date.UTC(2026, 4, 1, 12), Date.UTC(2026, 4, 1, 12) + 0.123];

const registry = parseRegistry(`
farms: [{ id: north, name: North, timezone: Europe/Berlin }]
sensors:
  - { id: own, farm: north }
  - { id: wrong, farm: north, clock: receipt }
`);

async function readingsOf(batch: Batch) {
  const validate = createValidate({ registry: { current: () => registry } });
  const { readings, dead } = await validate(batch, Date.now());
  expect(dead).to.deep.equal([]);
  return readings;
}

describe('a reading that the store refused', () => {
  const lot = [1_000, 4_000].map((ts) => ({ ts, ec: ts / 1_000 }));
  const senml = [
    { n: 'ec', v: 1, t: -60 },
    { n: 'ec', v: 2 },
  ];
  const cases: [what: string, sensor: string, payload: unknown][] = [
    ['dated by its receipt', 'own', { ec: 1 }],
    ['dated by its device', 'own', { ts: Date.UTC(2026, 4, 1, 11), ec: 1 }],
    ['told to be a minute older than its receipt', 'own', senml],
    ['of a device whose clock is not trusted', 'wrong', { ts: 7, ec: 1 }],
    ['of a lot of such a device', 'wrong', lot],
  ];
  for (const [what, sensor, payload] of cases) {
    it(`${what} is the same one when its dead letter is replayed`, async () => {
      for (const received of RECEIPTS) {
        const publish = {
          farm: 'north',
          field: '',
          sensor,
          topic: telemetryTopic('north', sensor),
          payload: new TextEncoder().encode(JSON.stringify(payload)),
          received,
        };
        const refused = await readingsOf({ id: 'b', publishes: [publish] });
        expect(refused.length).to.be.greaterThan(0);
        for (const reading of refused) {
          const [made] = rejectedByStore([reading], new StoreRejected('no'), received + 1);
          if (!made) throw new Error('there is no letter');
          const letter = decodeDead(encodeDead(made));
          const message = replayMessage(letter, 0, 'e', registry);
          if (!('publishes' in message)) throw new Error('it cannot be replayed');
          const again = await readingsOf(decodeBatch(encodeBatch(message)));
          const identity = [{ farm: 'north', sensor, ts: reading.ts, values: reading.values }];
          expect(again.map(({ farm, sensor, ts, values }) => ({ farm, sensor, ts, values }))).to.deep.equal(identity);
        }
      }
    });
  }

  it('because of its age shares a dead letter with others of its sensor, and all are the same when it is replayed', async () => {
    const publishOf = (sensor: string, payload: unknown) => ({
      farm: 'north',
      field: '',
      sensor,
      topic: telemetryTopic('north', sensor),
      payload: new TextEncoder().encode(JSON.stringify(payload)),
      received: Date.UTC(2026, 4, 1, 12),
    });
    const many = Array.from({ length: 2_000 }, (_, i) => ({ ts: Date.UTC(2026, 4, 1) + i * 1_000, ec: i % 100 }));
    const publishes = [publishOf('own', many), publishOf('wrong', lot), publishOf('own', { ec: 1 })];
    const refused = await readingsOf({ id: 'b', publishes });
    const refusal = new StoreRejected('too old', { reason: 'beyond_retention' });
    const letters = rejectedByStore(refused, refusal, Date.UTC(2026, 4, 2));
    expect(letters.every(({ reason }) => reason === 'beyond_retention')).to.equal(true);
    // 32 KiB each; a time that a payload cannot tell stands alone.
    expect(letters.filter(({ publish }) => publish.sensor === 'own')).to.have.length.within(2, 6);
    expect(letters.filter(({ publish }) => publish.sensor === 'wrong')).to.have.length(2);
    const again = await Promise.all(
      letters.map(async (one) => {
        const message = replayMessage(decodeDead(encodeDead(one)), 0, 'e', registry);
        if (!('publishes' in message)) throw new Error('it cannot be replayed');
        return await readingsOf(decodeBatch(encodeBatch(message)));
      }),
    );
    const identity = ({ sensor, ts, values }: (typeof refused)[number]) => JSON.stringify([sensor, ts, values]);
    expect(again.flat().map(identity)).to.have.members(refused.map(identity));
  });
});
