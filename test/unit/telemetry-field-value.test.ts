import { expect } from 'chai';
import fc from 'fast-check';
import {
  type FieldMember,
  fieldValueAt,
  fieldValues,
  heldFor,
  intervalOf,
  isHeld,
  LEAST_INTERVAL_MS,
  type MeasuredValue,
  meanKindOf,
  meanOf,
} from '../../telemetry/field-value.ts';

const MINUTE = 60_000;
const HOUR = 60 * MINUTE;
const RUNS = { numRuns: 150 };

interface ModelSensor {
  readonly intervalMs: number;
  /** In order of time, each time once. */
  readonly readings: readonly MeasuredValue[];
}

/** The definition word by word, from the readings themselves. */
function model(begin: number, width: number, sensors: readonly ModelSensor[]): number | undefined {
  const said: number[] = [];
  for (const { intervalMs, readings } of sensors) {
    const within = readings.filter(({ ts }) => ts >= begin && ts < begin + width);
    const last = readings.filter(({ ts }) => ts < begin).at(-1);
    if (within.length > 0) said.push(within.reduce((sum, { value }) => sum + value, 0) / within.length);
    else if (last !== undefined && begin - last.ts < 2.5 * intervalMs) said.push(last.value);
  }
  return said.length === 0 ? undefined : said.reduce((sum, value) => sum + value, 0) / said.length;
}

/** Readings as a store would tell them: what was before `from`, then the buckets that are not empty. */
function memberOf(
  { intervalMs, readings }: ModelSensor,
  from: number,
  begins: readonly number[],
  width: number,
): FieldMember {
  const buckets = begins.flatMap((begin) => {
    const within = readings.filter(({ ts }) => ts >= begin && ts < begin + width);
    const mean = meanOf(
      within.map(({ value }) => value),
      'plain',
    );
    const last = within.at(-1);
    return mean === undefined || last === undefined ? [] : [{ begin, mean, last }];
  });
  return { heldMs: heldFor(intervalMs), before: readings.filter(({ ts }) => ts < from).at(-1), buckets };
}

function valuesOf(from: number, to: number, width: number, sensors: readonly ModelSensor[]): (number | undefined)[] {
  const begins = Array.from({ length: (to - from) / width }, (_, i) => from + i * width);
  return fieldValues(
    begins,
    sensors.map((sensor) => memberOf(sensor, from, begins, width)),
    'plain',
  );
}

function every(ms: number, value: number, phase = 0): ModelSensor {
  const readings = Array.from({ length: Math.floor((4 * HOUR) / ms) }, (_, i) => ({ ts: i * ms + phase, value }));
  return { intervalMs: ms, readings };
}

const someSensors = fc.array(
  fc.record({
    intervalMs: fc.integer({ min: 1, max: 30 }).map((minutes) => minutes * MINUTE),
    readings: fc
      .uniqueArray(
        fc.record({
          ts: fc.integer({ min: 0, max: 4 * HOUR }),
          value: fc.double({ min: -1e6, max: 1e6, noNaN: true }),
        }),
        { selector: ({ ts }) => ts, maxLength: 30 },
      )
      .map((readings) => readings.sort((a, b) => a.ts - b.ts)),
  }),
  { maxLength: 6 },
);
const someWidth = fc.constantFrom(MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR);

describe('The value of a field', () => {
  it('is what the definition says, of any sensors and in buckets of any width', () => {
    fc.assert(
      fc.property(someSensors, someWidth, (sensors, width) => {
        for (const [i, value] of valuesOf(HOUR, 4 * HOUR, width, sensors).entries()) {
          const expected = model(HOUR + i * width, width, sensors);
          if (expected === undefined || value === undefined) expect(value).to.equal(expected);
          else expect(value).to.be.closeTo(expected, 1e-6);
        }
      }),
      RUNS,
    );
  });

  it('lies between the lowest and the highest reading, and does not depend on the order of the sensors', () => {
    fc.assert(
      fc.property(someSensors, someWidth, (sensors, width) => {
        const all = sensors.flatMap(({ readings }) => readings.map(({ value }) => value));
        const values = valuesOf(HOUR, 4 * HOUR, width, sensors);
        const turned = valuesOf(HOUR, 4 * HOUR, width, [...sensors].reverse());
        for (const [i, value] of values.entries()) {
          if (value === undefined) continue;
          expect(value).to.be.within(Math.min(...all) - 1e-6, Math.max(...all) + 1e-6);
          expect(value).to.be.closeTo(turned[i] ?? Number.NaN, 1e-6);
        }
      }),
      RUNS,
    );
  });

  for (const width of [MINUTE, 5 * MINUTE, 20 * MINUTE, HOUR]) {
    it(`of 20 every minute and 40 every 20 minutes is 30 in buckets of ${width / MINUTE} minutes`, () => {
      const sensors = [every(MINUTE, 20), every(20 * MINUTE, 40, 1)];
      const found = new Set(valuesOf(HOUR, 4 * HOUR, width, sensors));
      expect([...found]).to.deep.equal([30]);
    });
  }

  it('does not dip as hundreds of sensors come and go', () => {
    const sensors = Array.from({ length: 300 }, (_, i) =>
      every(20 * MINUTE, i % 2 === 0 ? 10 : 30, (i * 7919) % (20 * MINUTE)),
    );
    for (const value of valuesOf(HOUR, 2 * HOUR, MINUTE, sensors)) expect(value).to.equal(20);
  });

  it('has a last value until exactly two and a half intervals after it', () => {
    const held = heldFor(20 * MINUTE);
    expect(held).to.equal(50 * MINUTE);
    expect(isHeld(0, held - 1, held)).to.equal(true);
    expect(isHeld(0, held, held)).to.equal(false);
    const sensors = [{ intervalMs: 20 * MINUTE, readings: [{ ts: 0, value: 7 }] }];
    const values = valuesOf(0, 60 * MINUTE, MINUTE, sensors);
    expect(values.filter((value) => value === 7)).to.have.length(50);
    expect(values.slice(50).every((value) => value === undefined)).to.equal(true);
  });

  it('at one moment is what a bucket says that begins then and has no readings', () => {
    fc.assert(
      fc.property(someSensors, fc.integer({ min: HOUR, max: 4 * HOUR }), (sensors, at) => {
        const newest = sensors.flatMap(({ intervalMs, readings }) => {
          const measured = readings.filter(({ ts }) => ts < at).at(-1);
          return measured === undefined ? [] : [{ measured, heldMs: heldFor(intervalMs) }];
        });
        const now = fieldValueAt(at, newest, 'plain');
        const expected = model(at, 0, sensors);
        if (now === undefined || expected === undefined) expect(now).to.equal(expected);
        else expect(now).to.be.closeTo(expected, 1e-6);
      }),
      RUNS,
    );
  });

  it('is not infinite where the sum of its values is', () => {
    expect(meanOf([1.6e308, 1.5e308], 'plain')).to.be.closeTo(1.55e308, 1e300);
    expect(meanOf([], 'plain')).to.equal(undefined);
  });
});

describe('The mean of directions', () => {
  it('is on the circle: 350° and 10° make north, not south', () => {
    expect(offBy(meanOf([350, 10], 'circle') ?? 180, 0)).to.be.below(1e-9);
    expect(meanOf([80, 100], 'circle')).to.be.closeTo(90, 1e-9);
    expect(meanOf([-10, 730], 'circle')).to.be.closeTo(0, 1e-9);
  });

  it('turns as the directions are turned, and is from 0 up to 360', () => {
    const close = fc.array(fc.double({ min: -80, max: 80, noNaN: true }), { minLength: 1, maxLength: 20 });
    fc.assert(
      fc.property(close, fc.integer({ min: 0, max: 359 }), (degrees, turn) => {
        const straight = meanOf(degrees, 'circle') ?? Number.NaN;
        const turned = meanOf(
          degrees.map((degree) => degree + turn),
          'circle',
        );
        expect(turned).to.be.at.least(0).and.below(360);
        expect(offBy(turned ?? Number.NaN, straight + turn)).to.be.below(1e-6);
      }),
      RUNS,
    );
  });

  it('is that of wind directions at any height, and of nothing else', () => {
    const kinds = ['wind_direction', 'wind_direction_10m', 'wind_direction_2', 'wind_speed', 'wind_direction_spread'];
    expect(kinds.map(meanKindOf)).to.deep.equal(['circle', 'circle', 'circle', 'plain', 'plain']);
  });
});

describe('The interval of a sensor', () => {
  it('is the registry’s where that has one, however short', () => {
    expect(intervalOf(30, [0, HOUR, 2 * HOUR])).to.equal(30_000);
  });

  it('is else the median gap of the last 20 readings, at least ten minutes', () => {
    const older = Array.from({ length: 50 }, (_, i) => i * MINUTE);
    const newer = Array.from({ length: 20 }, (_, i) => 100 * HOUR + i * HOUR);
    expect(intervalOf(undefined, [...older, ...newer])).to.equal(HOUR);
    expect(intervalOf(undefined, [0, HOUR, 2 * HOUR, 20 * HOUR])).to.equal(HOUR);
    expect(intervalOf(undefined, [0, HOUR, 4 * HOUR])).to.equal(2 * HOUR);
    for (const times of [older, [0], []]) expect(intervalOf(undefined, times)).to.equal(LEAST_INTERVAL_MS);
  });
});

/** How far two directions are apart, degrees. */
function offBy(a: number, b: number): number {
  const apart = (((a - b) % 360) + 360) % 360;
  return Math.min(apart, 360 - apart);
}
