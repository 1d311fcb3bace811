import { expect } from 'chai';
import fc from 'fast-check';
import { type LiveValue, Series } from '../../client/series.ts';
import { fieldValues, isHeld, type MeasuredValue, meanOf } from '../../telemetry/field-value.ts';

const MINUTE = 60_000;

type LiveReading = MeasuredValue & { readonly sensor: string };

const someReadings = fc
  .uniqueArray(
    fc.record({
      sensor: fc.constantFrom('a', 'b', 'c'),
      ts: fc.integer({ min: 0, max: 3 * 3600 }).map((second) => second * 1000),
      value: fc.integer({ min: -50, max: 50 }),
    }),
    { selector: ({ ts }) => ts, maxLength: 60 },
  )
  .map((readings) => readings.sort((a, b) => a.ts - b.ts));
const someHeld = fc.record({ a: minutes(), b: minutes(), c: minutes() });

function minutes() {
  return fc.integer({ min: 1, max: 90 }).map((count) => count * MINUTE);
}

function rowOf({ sensor, ts, value }: LiveReading): LiveValue {
  return { sensor, ts, last: value, min: value, max: value, mean: value, count: 1 };
}

/** The definition's values in the buckets in which something was measured. */
function defined(readings: readonly LiveReading[], width: number, held: Readonly<Record<string, number>>) {
  const begins = [...new Set(readings.map(({ ts }) => ts - (ts % width)))];
  const members = Object.entries(held).map(([sensor, heldMs]) => {
    const buckets = begins.flatMap((begin) => {
      const own = readings.filter((one) => one.sensor === sensor && one.ts - (one.ts % width) === begin);
      const mean = meanOf(
        own.map(({ value }) => value),
        'plain',
      );
      const last = own.at(-1);
      return mean === undefined || last === undefined ? [] : [{ begin, mean, last }];
    });
    return { heldMs, buckets };
  });
  return fieldValues(begins, members, 'plain');
}

describe('The value of a field, live', () => {
  it('is in each bucket of a chart what the definition says, as readings come', () => {
    fc.assert(
      fc.property(someReadings, someHeld, fc.constantFrom(MINUTE, 7 * MINUTE, 60 * MINUTE), (readings, held, width) => {
        const series = new Series({ bucketMs: width, rows: [] });
        const newest = new Map<string, LiveReading>();
        const spans = new Map(Object.entries(held));
        const heldAt = (begin: number) =>
          [...newest.values()].filter(({ sensor, ts }) => isHeld(ts, begin, spans.get(sensor) ?? 0));
        for (const one of readings) {
          series.fold(rowOf(one), one.ts, heldAt);
          newest.set(one.sensor, one);
        }
        const expected = defined(readings, width, held);
        expect(series.length).to.equal(expected.length);
        for (const [i, { mean }] of series.buckets.entries())
          expect(mean).to.be.closeTo(expected[i] ?? Number.NaN, 1e-9);
      }),
      { numRuns: 150 },
    );
  });
});
