import { expect } from 'chai';
import type { BucketWidth, HistoryBucket, HistoryQuery, Store } from '../../backbone/ports/store.ts';
import { clock } from '../../core/clock.ts';
import { Closed, StoreRejected } from '../../core/errors.ts';
import { dayNumber, dayStart } from '../../telemetry/calendar.ts';
import { instant } from '../../telemetry/instant.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { shortOrLong } from '../services/length.ts';
import { until } from '../services/wait.ts';
import { type ChildScript, startChild } from './child-process.ts';
import { fieldContract } from './store-field-suite.ts';
import {
  ALL,
  collect,
  DAY,
  everything,
  HOUR,
  MINUTE,
  Model,
  numbered,
  reading,
  SECOND,
  seeded,
  sorted,
  T0,
} from './store-readings.ts';

/** One empty store of an adapter, and how to come at it. Each test sets up its own. */
export interface StoreFixture {
  /** Opens the store. Called again after `close` it opens the same one. */
  open(): Promise<Store>;
  readonly supports: {
    /** The time of receipt is kept for each value; otherwise for all values of one sensor and time together. */
    readonly receivedPerValue: boolean;
  };
  /** `child-store.ts` with the environment that opens this very store. */
  readonly child: ChildScript;
  /** Kills what serves the store, if anything does, and brings it back. */
  crash(): Promise<void>;
  cleanup(): Promise<void>;
}

/** What every store must do. */
export function storeContract(name: string, setup: () => Promise<StoreFixture>): void {
  describe(`${name}: the store's contract`, function () {
    this.timeout(120_000);
    let fixture: StoreFixture;
    let opened: Store[];
    let store: Store;

    beforeEach(async () => {
      opened = [];
      fixture = await setup();
      store = await open();
    });

    afterEach(async () => {
      await Promise.all(opened.map((one) => one.close()));
      await fixture.cleanup();
    });

    async function open(): Promise<Store> {
      const one = await fixture.open();
      opened.push(one);
      return one;
    }

    function history(query: Partial<HistoryQuery> & { bucket: BucketWidth }): Promise<HistoryBucket[]> {
      return store.history({ farm: 'north', sensors: ['s'], metric: 'm', ...ALL, ...query });
    }

    it('two stores share nothing', async () => {
      const other = await setup();
      const second = await other.open();
      try {
        await store.write([reading(T0, { m: 1 })]);
        expect(await second.latest('north')).to.deep.equal([]);
        await second.write([reading(T0, { m: 2 })]);
        expect((await store.latest('north')).map(({ value }) => value)).to.deep.equal([1]);
      } finally {
        await second.close();
        await other.cleanup();
      }
    });

    describe('writing', () => {
      it('gives back what was written, to the bit', async () => {
        const values = {
          big: 1e308,
          bigger: 1.7976931348623157e308,
          low: -1e308,
          tiny: 5e-324,
          third: 1 / 3,
          whole: 2 ** 53 - 1,
          zero: 0,
          e21: 1e21,
        };
        await store.write([reading(T0, values)]);
        const got = await collect(store.export({ farm: 'north', sensors: ['s'], ...ALL }));
        expect(Object.fromEntries(got.map(({ metric, value }) => [metric, value]))).to.deep.equal(values);
        expect(got.every(({ ts, received }) => ts === T0 && received === T0 + SECOND)).to.equal(true);
      });

      it('keeps minus zero as zero', async () => {
        await store.write([reading(T0, { m: -0 })]);
        const [got] = await store.latest('north');
        expect(Object.is(got?.value, 0)).to.equal(true);
      });

      it('of nothing does nothing', async () => {
        await store.write([]);
        expect(await store.latest('north')).to.deep.equal([]);
      });

      it('takes 64 metrics in one reading', async () => {
        const values = Object.fromEntries(Array.from({ length: 64 }, (_, i) => [`metric_${i}`, i + 0.5]));
        await store.write([reading(T0, values)]);
        const latest = await store.latest('north');
        expect(Object.fromEntries(latest.map(({ metric, value }) => [metric, value]))).to.deep.equal(values);
      });

      it('takes large batches', async () => {
        const many = Array.from({ length: 12_345 }, (_, i) => reading(T0 + i, { m: i }));
        await store.write(many);
        const [bucket] = await history({ bucket: { ms: HOUR } });
        expect(bucket).to.deep.include({ count: 12_345, min: 0, max: 12_344, last: 12_344 });
      });

      it('the same twice is one value', async () => {
        const batch = [reading(T0, { m: 1, n: 2 }), reading(T0 + SECOND, { m: 3 })];
        await store.write(batch);
        await store.write(batch);
        await store.write([...batch, ...batch]);
        expect((await history({ bucket: { ms: HOUR } })).map(({ count }) => count)).to.deep.equal([2]);
        expect(await everything(store)).to.have.length(3);
        expect(await store.latest('north')).to.have.length(2);
      });

      it('the latest write of a value wins, also within a batch', async () => {
        await store.write([reading(T0, { m: 9 })]);
        await store.write([reading(T0, { m: 5 }), reading(T0, { m: 7 }), reading(T0, { m: 6 })]);
        const found = { last: 6, min: 6, max: 6, mean: 6, count: 1, ts: T0, received: T0 + SECOND };
        expect(await history({ bucket: { ms: SECOND } })).to.deep.equal([found]);
        expect(await everything(store)).to.deep.equal([[T0, 'm', 6]]);
        expect((await store.latest('north')).map(({ value }) => value)).to.deep.equal([6]);
      });

      it('the latest write wins after the store was closed and opened again', async () => {
        await store.write([reading(T0, { m: 9 }), reading(T0 + 1, { m: 1 })]);
        await store.close();
        store = await open();
        await store.write([reading(T0, { m: 5 })]);
        await store.close();
        store = await open();
        expect(await everything(store)).to.deep.equal([
          [T0, 'm', 5],
          [T0 + 1, 'm', 1],
        ]);
      });

      it('adds metrics to a time that has others', async () => {
        await store.write([reading(T0, { a: 1 })]);
        await store.write([reading(T0, { b: 2 })]);
        expect((await everything(store)).sort()).to.deep.equal([
          [T0, 'a', 1],
          [T0, 'b', 2],
        ]);
      });

      const impossible: [what: string, wrong: Reading][] = [
        ['a value that is no number', reading(T0, { m: Number.NaN })],
        ['an infinite value', reading(T0, { m: Number.POSITIVE_INFINITY })],
        ['no values', reading(T0, {})],
        ['a metric with the name of a column', reading(T0, { received: 1 })],
        ['a time with a part of a microsecond', reading(T0 + 0.0005, { m: 1 }, { received: T0 })],
        ['a receipt with a part of a microsecond', reading(T0, { m: 1 }, { received: T0 + 0.0005 })],
        ['a time before there were sensors', reading(12, { m: 1 })],
        ['a sensor id that ends in a backslash', reading(T0, { m: 1 }, { sensor: 'a\\' })],
        ['a farm with a line break', reading(T0, { m: 1 }, { farm: 'a\nb' })],
      ];
      it('rejects for good what no store can keep, and stays up', async () => {
        const right = reading(T0, { m: 1 });
        for (const [what, wrong] of impossible) {
          const error = await rejects(store.write([right, wrong]), StoreRejected);
          expect(error, what).to.be.instanceOf(StoreRejected);
          expect(store.state.is).to.equal('up');
        }
        await store.write([right]);
      });
    });

    describe('instants', () => {
      const whole = { farm: 'north', sensors: ['s'], ...ALL };
      const subs = [0, 1, 123, 500, 999];

      it('of one millisecond are values of their own, in order, and come back to the microsecond', async () => {
        const years = [2000, 2025, 2026, 2199].map((year) => Date.UTC(year, 6, 1, 12, 34, 56, 789));
        const written = years.flatMap((ms) => subs.map((sub, i) => reading(instant(ms, sub), { m: i })));
        await store.write([...written].reverse());
        const found = await collect(store.export({ ...whole, from: 0, to: Date.UTC(2300, 0) }));
        expect(found.map(({ ts, value }) => [ts, value])).to.deep.equal(
          written.map(({ ts, values }) => [ts, values.m]),
        );
      });

      it('are equal in the same millisecond with the same count: the latest write of the two wins', async () => {
        await store.write(subs.map((sub) => reading(instant(T0, sub), { m: sub })));
        await store.write([reading(instant(T0, 123), { m: -1 }, { received: T0 + HOUR })]);
        await store.write([reading(instant(T0, 123), { m: -2 }, { received: T0 + HOUR })]);
        expect(await everything(store)).to.deep.equal([
          [T0, 'm', 0],
          [T0 + 0.001, 'm', 1],
          [T0 + 0.123, 'm', -2],
          [T0 + 0.5, 'm', 500],
          [T0 + 0.999, 'm', 999],
        ]);
      });

      it('decide which value is the latest, whatever came last, also after the store was opened again', async () => {
        const latest = async () => (await store.latest('north')).map(({ ts, value }) => [ts, value]);
        await store.write([reading(T0 + 0.5, { m: 1 })]);
        await store.latest('north');
        await store.write([reading(T0 + 0.999, { m: 2 }), reading(T0 + 0.001, { m: 3 }), reading(T0, { m: 4 })]);
        expect(await latest()).to.deep.equal([[T0 + 0.999, 2]]);
        await store.close();
        store = await open();
        expect(await latest()).to.deep.equal([[T0 + 0.999, 2]]);
        await store.write([reading(T0 + 0.998, { m: 5 })]);
        expect(await latest()).to.deep.equal([[T0 + 0.999, 2]]);
      });

      it('are each counted in their bucket, and the last of them is the last by its count', async () => {
        await store.write(subs.toReversed().map((sub) => reading(instant(T0, sub), { m: 1_000 - sub })));
        await store.write([reading(T0 - 0.001, { m: 7 }), reading(T0 + 1, { m: 8 })]);
        const bucket = { ts: T0, last: 1, min: 1, max: 1_000, mean: 675.4, count: 5, received: T0 + SECOND };
        expect(await history({ bucket: { ms: 1 } })).to.deep.equal([
          { ts: T0 - 1, last: 7, min: 7, max: 7, mean: 7, count: 1, received: T0 - 1 + SECOND },
          bucket,
          { ts: T0 + 1, last: 8, min: 8, max: 8, mean: 8, count: 1, received: T0 + 1 + SECOND },
        ]);
        const midnight = { daysIn: 'UTC' };
        expect((await history({ bucket: midnight })).map(({ ts, count, last }) => [ts, count, last])).to.deep.equal([
          [T0 - DAY, 1, 7],
          [T0, 6, 8],
        ]);
      });

      it('belong to a range as their millisecond does', async () => {
        await store.write([T0 - 0.001, T0, T0 + 0.999, T0 + 1].map((ts, i) => reading(ts, { m: i })));
        const range = { from: T0, to: T0 + 1 };
        expect((await collect(store.export({ ...whole, ...range }))).map(({ value }) => value)).to.deep.equal([1, 2]);
        expect((await history({ ...range, bucket: { ms: MINUTE } })).map(({ count }) => count)).to.deep.equal([2]);
        expect((await history({ ...range, bucket: { daysIn: 'UTC' } })).map(({ count }) => count)).to.deep.equal([2]);
      });

      it('are kept of a time of receipt only as whole milliseconds', async () => {
        await store.write([reading(T0 + 0.25, { m: 1 }, { received: T0 + 0.25 })]);
        const kept = [{ sensor: 's', metric: 'm', ts: T0 + 0.25, value: 1, received: T0 }];
        expect(await store.latest('north')).to.deep.equal(kept);
        expect(await collect(store.export(whole))).to.deep.equal(kept);
        await store.close();
        store = await open();
        expect(await store.latest('north')).to.deep.equal(kept);
      });
    });

    describe('durability', () => {
      it('what was confirmed is there after the writer and the store were killed', async () => {
        await store.close();
        const child = await startChild(fixture.child, { TASK: 'write' });
        await child.printed(40);
        await fixture.crash();
        await child.kill();
        store = await open();
        const there = new Set(await everything(store).then((all) => all.map(([ts, metric]) => `${ts} ${metric}`)));
        const confirmed = child.lines().flatMap((line) => numbered(Number(line)));
        expect(confirmed).to.have.length.of.at.least(400);
        expect(confirmed.filter(({ ts }) => !there.has(`${ts} number`) || !there.has(`${ts} i`))).to.deep.equal([]);
      });
    });

    describe('latest', () => {
      it('is the newest by time of measurement, whatever came last', async () => {
        await store.write([reading(T0 + MINUTE, { m: 1 })]);
        await store.write([reading(T0, { m: 2 }, { received: T0 + HOUR })]);
        const expected = [{ sensor: 's', metric: 'm', ts: T0 + MINUTE, value: 1, received: T0 + MINUTE + SECOND }];
        expect(await store.latest('north')).to.deep.equal(expected);
        await store.write([reading(T0 + 1, { m: 3 }, { received: T0 + HOUR })]);
        expect(await store.latest('north')).to.deep.equal(expected);
        await store.close();
        store = await open();
        expect(await store.latest('north')).to.deep.equal(expected);
      });

      it('has a time of its own for each metric of each sensor', async () => {
        await store.write([
          reading(T0, { a: 1, b: 2 }),
          reading(T0 + MINUTE, { a: 3 }),
          reading(T0 + HOUR, { b: 4 }, { sensor: 't' }),
        ]);
        expect(sorted(await store.latest('north'))).to.deep.equal([
          { sensor: 's', metric: 'b', ts: T0, value: 2, received: T0 + SECOND },
          { sensor: 's', metric: 'a', ts: T0 + MINUTE, value: 3, received: T0 + MINUTE + SECOND },
          { sensor: 't', metric: 'b', ts: T0 + HOUR, value: 4, received: T0 + HOUR + SECOND },
        ]);
      });

      it('of a value written again is the later writing', async () => {
        await store.write([reading(T0, { m: 5 })]);
        await store.latest('north');
        await store.write([reading(T0, { m: 3 }, { received: T0 + 7 })]);
        const expected = [{ sensor: 's', metric: 'm', ts: T0, value: 3, received: T0 + 7 }];
        expect(await store.latest('north')).to.deep.equal(expected);
        await store.close();
        store = await open();
        expect(await store.latest('north')).to.deep.equal(expected);
      });

      it('is of a time to come only where there is no other', async () => {
        const ahead = clock.now() + 30 * 24 * HOUR;
        const values = async () =>
          sorted(await store.latest('north')).map(({ sensor, metric, value }) => [sensor, metric, value]);
        await store.write([reading(ahead, { a: 1, b: 2 }), reading(ahead, { a: 7 }, { sensor: 't' })]);
        await store.write([reading(T0, { a: 3 })]);
        const expected = [
          ['s', 'a', 3],
          ['s', 'b', 2],
          ['t', 'a', 7],
        ];
        expect(await values()).to.have.deep.members(expected);
        await store.write([reading(ahead + 1, { a: 4 })]);
        expect(await values()).to.have.deep.members(expected);
        await store.close();
        store = await open();
        expect(await values()).to.have.deep.members(expected);
      });

      it('of a farm that nobody knows is empty', async () => {
        await store.write([reading(T0, { m: 5 })]);
        expect(await store.latest('south')).to.deep.equal([]);
      });
    });

    describe('history', () => {
      it('gives last, min, max, mean and count of each bucket that is not empty, in order', async () => {
        await store.write([
          reading(T0 + 50 * SECOND, { m: 2 }),
          reading(T0 + 3 * MINUTE, { m: -4 }),
          reading(T0 + 10 * SECOND, { m: 6 }),
          reading(T0 + 20 * SECOND, { m: 1 }),
          reading(T0 + 20 * SECOND, { other: 100 }),
        ]);
        expect(await history({ bucket: { ms: MINUTE } })).to.deep.equal([
          { ts: T0, last: 2, min: 1, max: 6, mean: 3, count: 3, received: T0 + 51 * SECOND },
          { ts: T0 + 3 * MINUTE, last: -4, min: -4, max: -4, mean: -4, count: 1, received: T0 + 3 * MINUTE + SECOND },
        ]);
      });

      it('takes values from `from` on and before `to`', async () => {
        await store.write([0, 1, 2, 3, 4].map((i) => reading(T0 + i, { m: i })));
        const [bucket] = await history({ from: T0 + 1, to: T0 + 3, bucket: { ms: MINUTE } });
        expect(bucket).to.deep.equal({
          ts: T0,
          last: 2,
          min: 1,
          max: 2,
          mean: 1.5,
          count: 2,
          received: T0 + 2 + SECOND,
        });
      });

      it('tells when the value came that was the last to come, and nothing of buckets with other metrics only', async () => {
        const late = T0 + DAY;
        await store.write([reading(T0 + 1, { m: 1 }), reading(T0 + 2, { m: 2 }, { received: late })]);
        await store.write([reading(T0 + 3, { m: 3 }), reading(T0 + MINUTE, { other: 1 })]);
        const found = await history({ bucket: { ms: MINUTE } });
        expect(found.map(({ ts, received }) => [ts, received])).to.deep.equal([[T0, late]]);
      });

      it('of an empty or inverted range, or of no sensors, is empty', async () => {
        await store.write([reading(T0, { m: 1 })]);
        const bucket = { ms: MINUTE };
        expect(await history({ from: T0, to: T0, bucket })).to.deep.equal([]);
        expect(await history({ from: T0 + 1, to: T0, bucket })).to.deep.equal([]);
        expect(await history({ from: Number.NaN, bucket })).to.deep.equal([]);
        expect(await history({ sensors: [], bucket })).to.deep.equal([]);
        expect(await history({ from: T0, to: T0, bucket: { daysIn: 'Europe/Berlin' } })).to.deep.equal([]);
      });

      it('takes a range without end', async () => {
        await store.write([reading(T0, { m: 1 })]);
        const range = { from: Number.NEGATIVE_INFINITY, to: Number.POSITIVE_INFINITY };
        expect(await history({ ...range, bucket: { ms: HOUR } })).to.have.length(1);
        expect(await history({ ...range, bucket: { daysIn: 'UTC' } })).to.have.length(1);
      });

      it('cuts buckets of any width at multiples of it since 1970', async () => {
        const random = seeded(1);
        const model = new Model(fixture.supports.receivedPerValue);
        const readings = Array.from({ length: 2_000 }, () =>
          reading(T0 + Math.floor(random() * 2 * DAY), { m: random() }),
        );
        await store.write(readings);
        model.write(readings);
        for (const ms of [SECOND, 7_001, 86_400, MINUTE, 345_678, HOUR, 7 * HOUR, DAY - 1]) {
          const query = { farm: 'north', sensors: ['s'], metric: 'm', from: T0 + 1234, to: T0 + DAY, bucket: { ms } };
          same(
            await store.history(query),
            model.history(query, (ts) => ts - (ts % ms)),
          );
        }
      });

      it('refuses a width that is none', async () => {
        await rejects(history({ bucket: { ms: 0 } }), RangeError);
        await rejects(history({ bucket: { ms: 1.5 } }), RangeError);
        await rejects(history({ bucket: { ms: Number.NaN } }), RangeError);
        await rejects(history({ bucket: { daysIn: 'UTC', days: 0 } }), RangeError);
        await rejects(history({ bucket: { daysIn: 'UTC', days: 1.5 } }), RangeError);
      });

      it('takes several sensors together: the last is the one measured last over all', async () => {
        await store.write([
          reading(T0 + 1, { m: 10 }, { sensor: 'a' }),
          reading(T0 + 9, { m: 20 }, { sensor: 'b' }),
          reading(T0 + 5, { m: 30 }, { sensor: 'c' }),
          reading(T0 + 7, { m: 99 }, { sensor: 'd' }),
        ]);
        const found = { ts: T0, last: 20, min: 10, max: 30, mean: 20, count: 3, received: T0 + 9 + SECOND };
        expect(await history({ sensors: ['c', 'a', 'b'], bucket: { ms: SECOND } })).to.deep.equal([found]);
      });

      it('has as the mean of several sensors that of their own means, however often each measures', async () => {
        const values = (sensor: string, every: number, m: number) =>
          Array.from({ length: HOUR / every }, (_, i) => reading(T0 + i * every, { m, other: -i }, { sensor }));
        await store.write([...values('a', MINUTE, 20), ...values('b', 20 * MINUTE, 40), ...values('c', MINUTE, 900)]);
        const sensors = ['a', 'b'];
        for (const bucket of [{ ms: HOUR }, { ms: 5 * HOUR }, { daysIn: 'Asia/Kolkata' }]) {
          const [first] = await history({ sensors, bucket });
          expect(first).to.deep.include({ min: 20, max: 40, mean: 30, count: 63 });
          expect((await history({ sensors: ['b'], bucket })).map(({ mean }) => mean)).to.deep.equal([40]);
        }
      });

      it('leaves a sensor that has no value in a bucket out of the mean there, also where the range cuts the bucket', async () => {
        const of = (sensor: string, ...values: [at: number, m: number][]) =>
          values.map(([at, m]) => reading(T0 + at * MINUTE, { m }, { sensor }));
        const readings = [
          ...of('a', [1, 0], [2, 2], [3, 4], [11, 8], [12, 8], [31, 1], [39, 3]),
          ...of('b', [1, 100], [9, 10], [21, 6], [38, 5]),
          reading(T0 + 13 * MINUTE, { other: 7 }, { sensor: 'b' }),
        ];
        await store.write(readings);
        const asked = { sensors: ['a', 'b', 'none'], from: T0 + 2 * MINUTE, to: T0 + 39 * MINUTE };
        const found = await history({ ...asked, bucket: { ms: 10 * MINUTE } });
        expect(found.map(({ ts, mean, count }) => [(ts - T0) / MINUTE, mean, count])).to.deep.equal([
          [0, 6.5, 3],
          [10, 8, 2],
          [20, 6, 1],
          [30, 3, 2],
        ]);
      });

      it('of values of the same instant takes the greatest as the last', async () => {
        for (const order of ['abc', 'bca', 'cab']) {
          const farm = `farm-${order}`;
          for (const sensor of order) {
            await store.write([reading(T0, { m: sensor.charCodeAt(0) }, { farm, sensor })]);
          }
          const [bucket] = await history({ farm, sensors: ['a', 'b', 'c'], bucket: { ms: SECOND } });
          expect(bucket).to.deep.include({ last: 'c'.charCodeAt(0), count: 3 });
        }
      });

      it('takes hundreds of sensors', async () => {
        const sensors = Array.from({ length: 600 }, (_, i) => `sensor-${i}`);
        await store.write(sensors.map((sensor, i) => reading(T0, { m: i }, { sensor })));
        const [bucket] = await history({ sensors, bucket: { ms: SECOND } });
        expect(bucket).to.deep.include({ last: 599, count: 600 });
      });

      it('has a finite mean of values whose sum is not finite', async () => {
        await store.write([reading(T0, { m: 1.5e308 }), reading(T0 + 1, { m: 1.7e308 }), reading(T0 + HOUR, { m: 4 })]);
        for (const bucket of [{ ms: MINUTE }, { ms: DAY - 1 }, { daysIn: 'UTC' }]) {
          const [first] = await history({ to: T0 + MINUTE, bucket });
          expect(first?.mean).to.be.closeTo(1.6e308, 1e300);
        }
        const [, second] = await history({ bucket: { ms: MINUTE } });
        expect(second?.mean).to.equal(4);
        await store.write([1.3e308, 1.7e308, 1.6e308].map((m, i) => reading(T0 + i, { m }, { sensor: `t${i % 2}` })));
        const [field] = await history({ sensors: ['t0', 't1'], bucket: { ms: MINUTE } });
        expect(field?.mean).to.be.closeTo(1.575e308, 1e300);
      });

      it('of what nobody knows is empty', async () => {
        await store.write([reading(T0, { m: 1 })]);
        for (const other of [{ farm: 'south' }, { sensors: ['x'] }, { metric: 'x' }, { metric: 'sensor' }]) {
          expect(await history({ ...other, bucket: { ms: HOUR } })).to.deep.equal([]);
          expect(await history({ ...other, bucket: { daysIn: 'Asia/Tokyo' } })).to.deep.equal([]);
        }
      });
    });

    describe('calendar days', () => {
      // Zone, local midnight of the first day, and how many hours each day has.
      const calendars: [what: string, zone: string, first: string, hours: number[]][] = [
        ['as the clocks go forward', 'Europe/Berlin', '2025-03-28T23:00Z', [24, 23, 24]],
        ['as the clocks go back', 'Europe/Berlin', '2025-10-24T22:00Z', [24, 25, 24]],
        ['in the south', 'Australia/Sydney', '2025-10-03T14:00Z', [24, 23, 24]],
        ['where midnight is skipped', 'America/Sao_Paulo', '2018-11-03T03:00Z', [24, 23, 24]],
        ['where clocks go back at midnight', 'America/Sao_Paulo', '2018-02-16T02:00Z', [24, 25, 24]],
        ['where midnight is skipped on a Friday', 'Africa/Cairo', '2024-04-24T22:00Z', [24, 23, 24]],
        ['where midnight is skipped, further east', 'Asia/Beirut', '2024-03-29T22:00Z', [24, 23, 24]],
        ['where midnight comes twice', 'America/Havana', '2024-11-02T04:00Z', [24, 25, 24]],
        ['half an hour apart from the rest', 'Asia/Kolkata', '2025-03-29T18:30Z', [24, 24, 24]],
        ['where clocks change by half an hour', 'Australia/Lord_Howe', '2025-10-03T13:30Z', [24, 23.5, 24]],
        ['where a day was left out', 'Pacific/Apia', '2011-12-29T10:00Z', [24, 24, 24]],
        ['of universal time', 'UTC', '2025-03-30T00:00Z', [24, 24, 24]],
      ];
      for (const [what, zone, first, hours] of calendars) {
        it(`${what} (${zone} from ${first}) last ${hours.join(', ')} hours`, async () => {
          const begin = Date.parse(first);
          const begins = hours.map((_, i) => begin + hours.slice(0, i).reduce((sum, h) => sum + h * HOUR, 0));
          const end = begin + hours.reduce((sum, h) => sum + h * HOUR, 0);
          // The first ms of each half hour, and the last of each day.
          const times = Array.from({ length: (end - begin) / (HOUR / 2) }, (_, i) => begin + (i * HOUR) / 2);
          const lasts = [...begins.slice(1), end].map((next) => next - 1);
          await store.write([...times, ...lasts].map((ts) => reading(ts, { m: ts - begin })));
          const buckets = await history({ from: begin - DAY, to: end + DAY, bucket: { daysIn: zone } });
          expect(buckets.map(({ ts, count, min, last }) => ({ ts, count, min, last }))).to.deep.equal(
            begins.map((ts, i) => ({
              ts,
              count: 2 * (hours[i] ?? 0) + 1,
              min: ts - begin,
              last: (lasts[i] ?? 0) - begin,
            })),
          );
        });
      }

      it('begin at midnight also where the range begins or ends within one', async () => {
        const midnight = Date.parse('2025-03-29T23:00Z');
        await store.write([1, 5, 20, 30].map((h) => reading(midnight + h * HOUR, { m: h })));
        const bucket = { daysIn: 'Europe/Berlin' };
        const found = await history({ from: midnight + 2 * HOUR, to: midnight + 30 * HOUR, bucket });
        expect(found).to.have.length(1);
        expect(found[0]).to.deep.include({ ts: midnight, last: 20, min: 5, max: 20, mean: 12.5, count: 2 });
      });

      it('go into one bucket in lots counted from 1970, over changes of the clocks, with each sensor’s own mean once', async () => {
        const random = seeded(3);
        const model = new Model(fixture.supports.receivedPerValue);
        const begin = Date.parse('2025-01-15T12:00Z');
        const readings = Array.from({ length: shortOrLong(250, 3_000) }, () => {
          const sensor = ['a', 'b', 'b', 'b', 'c'][Math.floor(random() * 5)] ?? 'a';
          return reading(begin + Math.floor(random() * 400 * DAY), { m: random() * 100 }, { sensor });
        });
        await store.write(readings);
        model.write(readings);
        for (const zone of ['Europe/Berlin', 'Pacific/Auckland']) {
          for (const days of [2, 7, 30]) {
            const sensors = ['a', 'b', 'c'];
            const range = { from: begin + 1234, to: begin + 390 * DAY };
            const query = { farm: 'north', sensors, metric: 'm', ...range, bucket: { daysIn: zone, days } };
            const lot = (ts: number) => dayStart(Math.floor(dayNumber(ts, zone) / days) * days, zone);
            same(await store.history(query), model.history(query, lot));
          }
        }
      });

      it('far apart are each found', async () => {
        const years = [2001, 2013, 2025, 2199];
        await store.write(years.map((year) => reading(Date.UTC(year, 6, 1, 12), { m: year })));
        const found = await history({ from: 0, to: Date.UTC(2300, 0), bucket: { daysIn: 'America/New_York' } });
        expect(found.map(({ ts, last }) => [ts, last])).to.deep.equal(
          years.map((year) => [Date.UTC(year, 6, 1, 4), year]),
        );
      });

      it('of a zone that is none are refused', async () => {
        await store.write([reading(T0, { m: 1 })]);
        await rejects(history({ bucket: { daysIn: 'Mars/Olympus' } }), RangeError);
        expect(store.state.is).to.equal('up');
      });
    });

    describe('names', () => {
      const hostile = [
        `a"b'c`,
        `'; DROP MEASUREMENT readings; --`,
        `"; DROP TABLE readings; --`,
        `') OR 1=1 --`,
        'a b,c=d',
        'a=1,b=2 3',
        '$1 ?',
        '/.*/',
        '*',
        'ünï/日本',
        '%s%00',
      ];
      it('with the signs of query languages in them are names like any other', async () => {
        for (const [i, evil] of hostile.entries()) {
          const farm = `farm-${i}`;
          await store.write([
            reading(T0, { m: 1 }, { farm }),
            reading(T0, { m: 2 }, { farm, sensor: evil }),
            reading(T0, { m: 3 }, { farm: evil }),
            reading(T0, { [evil]: 4 }, { farm, sensor: 't' }),
          ]);
          const lasts = async (query: Partial<HistoryQuery>) =>
            (await history({ farm, ...query, bucket: { ms: SECOND } })).map(({ last }) => last);
          expect(await lasts({}), evil).to.deep.equal([1]);
          expect(await lasts({ sensors: [evil] }), evil).to.deep.equal([2]);
          expect(await lasts({ farm: evil }), evil).to.deep.equal([3]);
          expect(await lasts({ metric: evil, sensors: ['t'] }), evil).to.deep.equal([4]);
          expect((await store.latest(evil)).map(({ value }) => value)).to.deep.equal([3]);
          const latest = sorted(await store.latest(farm)).map(({ sensor, metric }) => [sensor, metric]);
          expect(latest.sort()).to.deep.equal(
            [
              ['s', 'm'],
              [evil, 'm'],
              ['t', evil],
            ].sort(),
          );
          const query = { farm, sensors: [evil, 't'], metrics: [evil, 'm'], ...ALL };
          const exported = await collect(store.export(query));
          expect(exported.map(({ value }) => value).sort(), evil).to.deep.equal([2, 4]);
        }
      });

      it('with the signs of query languages in them find nothing when they were never written', async () => {
        await store.write([reading(T0, { m: 1 })]);
        for (const evil of [...hostile, 'back\\slash', 'end\\', "end\\'", 'nul\0', 'line\nbreak', '']) {
          for (const query of [{ farm: evil }, { sensors: [evil] }, { metric: evil }]) {
            expect(await history({ ...query, bucket: { ms: HOUR } }), evil).to.deep.equal([]);
          }
          expect(await store.latest(evil), evil).to.deep.equal([]);
          const query = { farm: evil, sensors: [evil], metrics: [evil], ...ALL };
          expect(await collect(store.export(query)), evil).to.deep.equal([]);
        }
        expect(await everything(store)).to.deep.equal([[T0, 'm', 1]]);
      });

      it('that a query language has taken are metrics like any other', async () => {
        const words = [
          'select',
          'group',
          'order',
          'last',
          'value',
          'ts',
          'rowid',
          'readings',
          'bucket',
          'small',
          'name',
        ];
        await store.write([reading(T0, Object.fromEntries(words.map((word, i) => [word, i])))]);
        for (const [i, metric] of words.entries()) {
          expect((await history({ metric, bucket: { ms: SECOND } })).map(({ last }) => last)).to.deep.equal([i]);
        }
        expect((await store.latest('north')).map(({ metric }) => metric).sort()).to.deep.equal([...words].sort());
      });

      it('of a sensor in two farms are two sensors', async () => {
        await store.write([reading(T0, { m: 1 }), reading(T0, { m: 2 }, { farm: 'south' })]);
        expect((await history({ bucket: { ms: SECOND } })).map(({ last }) => last)).to.deep.equal([1]);
        expect((await store.latest('south')).map(({ value }) => value)).to.deep.equal([2]);
        expect((await everything(store)).map(([, , value]) => value)).to.deep.equal([1]);
      });
    });

    describe('export', () => {
      it('gives the wanted sensors and metrics in order of time', async () => {
        const random = seeded(2);
        const times = Array.from({ length: 500 }, () => T0 + Math.floor(random() * DAY));
        await store.write(
          ['a', 'b', 'c'].flatMap((sensor) => times.map((ts) => reading(ts, { x: 1, y: 2, z: 3 }, { sensor }))),
        );
        const found = await collect(
          store.export({ farm: 'north', sensors: ['a', 'c'], metrics: ['x', 'z', 'unknown'], ...ALL }),
        );
        expect(found).to.have.length(new Set(times).size * 4);
        expect(new Set(found.map(({ sensor, metric }) => sensor + metric))).to.deep.equal(
          new Set(['ax', 'az', 'cx', 'cz']),
        );
        expect(found.every(({ ts }, i) => i === 0 || ts >= (found[i - 1]?.ts ?? 0))).to.equal(true);
      });

      it('takes values from `from` on and before `to`', async () => {
        await store.write([0, 1, 2, 3].map((i) => reading(T0 + i, { m: i })));
        const found = await collect(store.export({ farm: 'north', sensors: ['s'], from: T0 + 1, to: T0 + 3 }));
        expect(found.map(({ value }) => value)).to.deep.equal([1, 2]);
      });

      it('of no sensors, no metrics or no time is empty', async () => {
        await store.write([reading(T0, { m: 1 })]);
        const whole = { farm: 'north', sensors: ['s'], ...ALL };
        for (const part of [{ sensors: [] }, { metrics: [] }, { from: T0, to: T0 }, { metrics: ['sensor'] }]) {
          expect(await collect(store.export({ ...whole, ...part }))).to.deep.equal([]);
        }
      });

      it('brings a hundred thousand values, and a loop that is left early leaves the store as it was', async () => {
        const count = 25_000;
        const batch = 5_000;
        for (let from = 0; from < count; from += batch) {
          await store.write(
            Array.from({ length: batch }, (_, i) => reading(T0 + (from + i) * SECOND, { a: 1, b: 2, c: 3, d: i })),
          );
        }
        const query = { farm: 'north', sensors: ['s'], ...ALL };
        for (let time = 0; time < 40; time += 1) {
          let seen = 0;
          for await (const _ of store.export({ ...query, to: T0 + 3_000 * SECOND })) if (++seen === 10) break;
          expect(seen).to.equal(10);
        }
        let seen = 0;
        let before = 0;
        for await (const { ts } of store.export(query)) {
          expect(ts).to.be.at.least(before);
          before = ts;
          seen += 1;
        }
        expect(seen).to.equal(4 * count);
        expect(store.state.is).to.equal('up');
      });

      it('can be taken slowly while the store is written to', async () => {
        await store.write(Array.from({ length: 10_000 }, (_, i) => reading(T0 + i, { m: i })));
        let seen = 0;
        for await (const { ts } of store.export({ farm: 'north', sensors: ['s'], from: T0, to: T0 + 10_000 })) {
          if (seen % 2_000 === 0) await store.write([reading(T0 + DAY + ts, { m: 1 })]);
          seen += 1;
        }
        expect(seen).to.equal(10_000);
      });
    });

    describe('left by its caller', () => {
      const query = { farm: 'north', sensors: ['s'], metric: 'a', ...ALL };

      beforeEach(async () => {
        for (let from = 0; from < 20_000; from += 5_000) {
          await store.write(Array.from({ length: 5_000 }, (_, i) => reading(T0 + (from + i) * SECOND, { a: i, b: 2 })));
        }
      });

      it('before it began, asks nothing', async () => {
        const reason = new Error('gone');
        const left = AbortSignal.abort(reason);
        expect(await store.history({ ...query, bucket: { ms: SECOND } }, left).catch((e: unknown) => e)).to.equal(
          reason,
        );
        expect(await collect(store.export(query, left)).catch((e: unknown) => e)).to.equal(reason);
      });

      it('ends a history that is being worked at, and the others go on', async () => {
        for (const bucket of [{ ms: SECOND }, { daysIn: 'Europe/Berlin' }]) {
          const others = [1, 2, 3].map(() => store.history({ ...query, bucket }));
          const leaving = [1, 2, 3, 4].map(async (number) => {
            const reason = new Error(`gone ${number}`);
            const controller = new AbortController();
            const asked = store.history({ ...query, bucket }, controller.signal).catch((e: unknown) => e);
            // At once, and while the database is at it.
            if (number % 2 === 0) await others[0];
            controller.abort(reason);
            const outcome = await asked;
            if (number % 2 === 1) expect(outcome).to.equal(reason);
          });
          await Promise.all(leaving);
          for (const buckets of await Promise.all(others)) {
            expect(buckets.reduce((sum, { count }) => sum + count, 0)).to.equal(20_000);
          }
        }
        expect(store.state.is).to.equal('up');
      });

      it('ends an export that is being worked at, and leaves nothing behind', async () => {
        for (let time = 0; time < 40; time += 1) {
          const reason = new Error('gone');
          const controller = new AbortController();
          const values = store.export(query, controller.signal)[Symbol.asyncIterator]();
          // Some are left before the first value, some after it.
          if (time % 4 === 0) await values.next();
          const next = values.next().catch((e: unknown) => e);
          if (time % 2 === 0) await new Promise((done) => setImmediate(done));
          controller.abort(reason);
          const outcome = await next;
          if (outcome !== reason) {
            const rest = async () => {
              for (let one = await values.next(); !one.done; one = await values.next());
            };
            expect(await rest().catch((e: unknown) => e)).to.equal(reason);
          }
        }
        expect(await collect(store.export(query))).to.have.length(40_000);
        expect(store.state.is).to.equal('up');
      });
    });

    fieldContract(() => store);

    describe('all together', () => {
      for (const seed of [11, 12]) {
        it(`answers as a simple model does after writes in disorder, some twice (seed ${seed})`, async () => {
          const random = seeded(seed);
          const pick = <T>(list: readonly [T, ...T[]]): T => list[Math.floor(random() * list.length)] ?? list[0];
          const model = new Model(fixture.supports.receivedPerValue);
          const begin = Date.parse('2025-03-29T12:00Z');
          const past: Reading[][] = [];
          for (let batch = 0; batch < 60; batch += 1) {
            const fresh = Array.from({ length: 50 }, () => {
              const metrics = Array.from({ length: 1 + Math.floor(random() * 3) }, () => pick(['a', 'b', 'c']));
              const values = Object.fromEntries(metrics.map((metric) => [metric, random() * 100 - 50]));
              // Few enough times that many are hit again, three in a millisecond.
              const place = Math.floor(random() * 300);
              const ts = instant(begin + Math.floor(place / 3) * 21 * MINUTE, [0, 1, 999][place % 3] ?? 0);
              const received = begin + Math.floor(random() * DAY);
              return reading(ts, values, { sensor: pick(['s', 't', 'u']), received });
            });
            const again = past[Math.floor(random() * past.length * 3)];
            const readings = again ?? fresh;
            past.push(readings);
            await store.write(readings);
            model.write(readings);
          }
          expect(sorted(await store.latest('north'))).to.deep.equal(sorted(model.latest()));
          const sensors = ['s', 't', 'u'];
          expect(sorted(await collect(store.export({ farm: 'north', sensors, ...ALL })))).to.deep.equal(
            sorted(model.all()),
          );
          const berlin = [0, 24, 47, 71].map((hours) => Date.parse('2025-03-28T23:00Z') + hours * HOUR);
          const midnight = (ts: number) => berlin.filter((edge) => edge <= ts).at(-1) ?? 0;
          for (const metric of ['a', 'b', 'c']) {
            for (const chosen of [['s'], ['t', 'u'], sensors]) {
              const query = { farm: 'north', sensors: chosen, metric, from: begin + HOUR, to: begin + 2 * DAY };
              for (const ms of [7 * MINUTE, HOUR, 5 * HOUR]) {
                const asked = { ...query, bucket: { ms } };
                same(
                  await store.history(asked),
                  model.history(asked, (ts) => ts - (ts % ms)),
                );
              }
              const asked = { ...query, to: begin + 60 * HOUR, bucket: { daysIn: 'Europe/Berlin' } };
              same(await store.history(asked), model.history(asked, midnight));
            }
          }
        });
      }

      it('is written and read by many at once', async () => {
        const sensors = Array.from({ length: 12 }, (_, i) => `sensor-${i}`);
        const write = async (sensor: string) => {
          for (let i = 0; i < 20; i += 1) await store.write([reading(T0 + i, { m: i }, { sensor })]);
        };
        const read = async () => {
          for (let i = 0; i < 10; i += 1) {
            await store.latest('north');
            const buckets = await history({ sensors, bucket: { ms: SECOND } });
            expect(buckets[0]?.count ?? 0).to.be.at.most(240);
          }
        };
        await Promise.all([...sensors.map(write), read(), read(), read()]);
        const [bucket] = await history({ sensors, bucket: { ms: SECOND } });
        expect(bucket).to.deep.include({ count: 240, last: 19 });
      });
    });

    describe('closing', () => {
      it('waits for writes under way', async () => {
        const writes = [0, 1, 2].map((number) => store.write(numbered(number)));
        await store.close();
        await Promise.all(writes);
        store = await open();
        // On a busy machine InfluxDB 1.6 has shown the first writes of a new database a moment after it had confirmed them.
        await until('all can be read', async () => (await everything(store)).length === 60);
      });

      it('can be done twice, tells who watches, and everything after it rejects with Closed', async () => {
        const states: string[] = [];
        store.watch(({ is }) => states.push(is));
        expect(store.state.is).to.equal('up');
        await Promise.all([store.close(), store.close()]);
        await store.close();
        expect(states).to.deep.equal(['closed']);
        await rejects(store.write([reading(T0, { m: 1 })]), Closed);
        await rejects(store.write([]), Closed);
        await rejects(store.latest('north'), Closed);
        await rejects(history({ bucket: { ms: SECOND } }), Closed);
        await rejects(history({ sensors: [], bucket: { ms: SECOND } }), Closed);
        await rejects(everything(store), Closed);
      });

      it('breaks off an export', async () => {
        await store.write(Array.from({ length: 40_000 }, (_, i) => reading(T0 + i, { m: i })));
        const loop = async () => {
          for await (const { value } of store.export({ farm: 'north', sensors: ['s'], ...ALL })) {
            if (value === 0) await store.close();
          }
        };
        await rejects(loop(), Closed);
      });
    });
  });
}

export async function rejects(work: Promise<unknown>, kind: abstract new (...given: never[]) => Error): Promise<Error> {
  const outcome = await work.then(
    () => new Error('it resolved'),
    (error: unknown) => error,
  );
  expect(outcome).to.be.instanceOf(kind);
  return outcome instanceof Error ? outcome : new Error(String(outcome));
}

/** Buckets are equal; means are allowed the rounding of another order of adding up. */
function same(found: readonly HistoryBucket[], expected: readonly HistoryBucket[]): void {
  const exact = (buckets: readonly HistoryBucket[]) => buckets.map(({ mean: _, ...rest }) => rest);
  expect(exact(found)).to.deep.equal(exact(expected));
  for (const [i, { mean }] of found.entries()) expect(mean).to.be.closeTo(expected[i]?.mean ?? Number.NaN, 1e-9);
}
