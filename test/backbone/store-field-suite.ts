import { expect } from 'chai';
import fc from 'fast-check';
import type { BucketWidth, HeldSensor, HistoryQuery, Store } from '../../backbone/ports/store.ts';
import { heldFor } from '../../telemetry/field-value.ts';
import { shortOrLong } from '../services/length.ts';
import { DAY, HOUR, MINUTE, reading, T0 } from './store-readings.ts';

interface ModelReading {
  readonly sensor: string;
  readonly ts: number;
  readonly value: number;
}

type FieldQuery = Pick<HistoryQuery, 'from' | 'to'> & { readonly held: readonly HeldSensor[] };

/** The field's value in the bucket from `begin` up to `end`, word by word from the readings themselves. */
function model(readings: readonly ModelReading[], { from, to, held }: FieldQuery, begin: number, end: number): number {
  const said: number[] = [];
  for (const [sensor, ms] of held) {
    const own = readings.filter((one) => one.sensor === sensor).sort((a, b) => a.ts - b.ts);
    const within = own.filter(({ ts }) => ts >= Math.max(begin, from) && ts < Math.min(end, to));
    const last = own.filter(({ ts }) => ts < Math.max(begin, from)).at(-1);
    if (within.length > 0) said.push(within.reduce((sum, { value }) => sum + value, 0) / within.length);
    else if (last !== undefined && Math.max(begin, from) - last.ts < ms) said.push(last.value);
  }
  return said.reduce((sum, value) => sum + value, 0) / said.length;
}

const someReadings = fc.uniqueArray(
  fc.record({
    sensor: fc.constantFrom('a', 'b', 'c', 'd'),
    ts: fc.integer({ min: 0, max: 6 * 60 * 60 }).map((second) => T0 + second * 1000),
    value: fc.integer({ min: -50, max: 50 }),
  }),
  { selector: ({ sensor, ts }) => `${sensor} ${ts}`, minLength: 1, maxLength: 60 },
);

/** What every store must do for a field's value: it is what `telemetry/field-value.ts` says. */
export function fieldContract(store: () => Store): void {
  describe('the value of a field', () => {
    const fill = (farm: string, readings: readonly ModelReading[], metric = 'm') =>
      store().write(readings.map(({ sensor, ts, value }) => reading(ts, { [metric]: value }, { farm, sensor })));

    const every = (sensor: string, ms: number, value: number, length: number) =>
      Array.from({ length: Math.floor(length / ms) }, (_, i) => ({ sensor, ts: T0 + i * ms, value }));

    it('is 30 of 20 every minute and 40 every 20 minutes, however wide the buckets', async () => {
      await fill('north', [...every('a', MINUTE, 20, 3 * HOUR), ...every('b', 20 * MINUTE, 40, 3 * HOUR)]);
      const held = [
        ['a', heldFor(MINUTE)],
        ['b', heldFor(20 * MINUTE)],
      ] as const;
      const widths: BucketWidth[] = [{ ms: MINUTE }, { ms: 7 * MINUTE }, { ms: HOUR }, { daysIn: 'Asia/Kolkata' }];
      for (const bucket of widths) {
        const range = { from: T0 + HOUR + 90_000, to: T0 + 3 * HOUR };
        const found = await store().history({
          farm: 'north',
          sensors: ['a', 'b'],
          metric: 'm',
          ...range,
          bucket,
          held,
        });
        expect([...new Set(found.map(({ mean }) => mean))]).to.deep.equal([30]);
        if ('ms' in bucket && bucket.ms === MINUTE) expect(found).to.have.length(118);
      }
    });

    it('has a value from before the range as long as it is held, and none of a sensor that is not to be held', async () => {
      const readings = [
        { sensor: 'a', ts: T0 - 50 * MINUTE + 1, value: 10 },
        { sensor: 'b', ts: T0 - 50 * MINUTE, value: 1000 },
        { sensor: 'c', ts: T0 - MINUTE, value: 1000 },
        ...every('d', MINUTE, 20, 3 * MINUTE),
      ];
      await fill('north', readings);
      const held = ['a', 'b', 'd'].map((sensor) => [sensor, 50 * MINUTE] as const);
      const query = { farm: 'north', sensors: ['a', 'b', 'c', 'd'], metric: 'm', from: T0, to: T0 + HOUR };
      const of = async (bucket: BucketWidth) =>
        (await store().history({ ...query, bucket, held })).map(({ ts, mean, min, count }) => [
          ts - T0,
          mean,
          min,
          count,
        ]);
      expect(await of({ ms: MINUTE })).to.deep.equal([
        [0, 15, 20, 1],
        [MINUTE, 20, 20, 1],
        [2 * MINUTE, 20, 20, 1],
      ]);
      expect(await of({ daysIn: 'UTC' })).to.deep.equal([[0, 15, 20, 3]]);
    });

    it('is what a plain model says of any readings, in buckets of any width', async () => {
      let farms = 0;
      const widths = fc.constantFrom(5 * MINUTE, 17 * MINUTE, HOUR, 3 * HOUR);
      const spans = fc.array(fc.integer({ min: 1, max: 150 }), { minLength: 4, maxLength: 4 });
      await fc.assert(
        fc.asyncProperty(
          someReadings,
          widths,
          spans,
          fc.integer({ min: 0, max: 3 }),
          async (readings, ms, some, start) => {
            const farm = `farm-${farms++}`;
            await fill(farm, readings);
            const held = ['a', 'b', 'c', 'd'].map((sensor, i) => [sensor, (some[i] ?? 1) * MINUTE] as const);
            const query = { from: T0 + start * 23 * MINUTE, to: T0 + 5 * HOUR, held };
            const asked = { farm, sensors: ['a', 'b', 'c', 'd'], metric: 'm', ...query };
            const found = await store().history({ ...asked, bucket: { ms } });
            const inRange = readings.filter(({ ts }) => ts >= query.from && ts < query.to);
            expect(found.map(({ ts }) => ts)).to.deep.equal(
              [...new Set(inRange.map(({ ts }) => ts - (ts % ms)))].sort((a, b) => a - b),
            );
            for (const { ts, mean } of found) expect(mean).to.be.closeTo(model(readings, query, ts, ts + ms), 1e-9);
            const days = await store().history({ ...asked, bucket: { daysIn: 'Asia/Kolkata' } });
            for (const { ts, mean } of days) expect(mean).to.be.closeTo(model(readings, query, ts, ts + DAY), 1e-9);
          },
        ),
        { numRuns: shortOrLong(12, 150) },
      );
    });

    it('of directions is on the circle, for one sensor as for several', async () => {
      const of = (sensor: string, ...values: number[]) =>
        values.map((value, i) => ({ sensor, ts: T0 + i * MINUTE, value }));
      await fill('north', [...of('a', 350, 10), ...of('b', 80, 100), ...of('c', -90, 270, 630)], 'wind_direction');
      const query = { farm: 'north', metric: 'wind_direction', from: T0, to: T0 + HOUR, bucket: { ms: HOUR } };
      const mean = async (...sensors: string[]) => {
        const [bucket] = await store().history({ ...query, sensors });
        return bucket?.mean ?? Number.NaN;
      };
      const offNorth = await mean('a');
      expect(Math.min(offNorth, 360 - offNorth)).to.be.below(1e-9);
      expect(await mean('b')).to.be.closeTo(90, 1e-9);
      expect(await mean('c')).to.be.closeTo(270, 1e-9);
      expect(await mean('a', 'b')).to.be.closeTo(45, 1e-9);
      expect(await mean('a', 'c')).to.be.closeTo(315, 1e-9);
    });
  });
}
