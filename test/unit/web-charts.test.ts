import { expect } from 'chai';
import { placeAt } from '../../dashboard/chart/columns.ts';
import { fixedRange, moved, scaled, spanOf, stretchOf } from '../../dashboard/chart/ranges.ts';
import { sparkPath } from '../../dashboard/chart/spark-path.ts';
import { trendOf } from '../../dashboard/chart/trend.ts';
import { dateOf, fromInput, midnights, startOfDay, toInput } from '../../dashboard/format/zone.ts';

const HOUR = 3_600_000;
const now = Date.UTC(2026, 2, 29, 12);

describe('web: a range of time', () => {
  it('that moves ends now; one with ends stays', () => {
    expect(stretchOf({ last: '1h' }, now)).to.deep.equal({ from: now - HOUR, to: now });
    expect(stretchOf({ from: 1, to: 2 }, now)).to.deep.equal({ from: 1, to: 2 });
  });

  it('asks for as many buckets as its width needs, and a little beyond now', () => {
    const span = spanOf({ last: '24h' }, now);
    expect(span.to).to.be.above(now);
    expect(span.points).to.be.within(720, 730);
  });

  it('moves by a share of its length', () => {
    expect(moved({ from: 0, to: 100_000 }, -0.5, now)).to.deep.equal({ from: -50_000, to: 50_000 });
  });

  it('grows and shrinks about its middle, but not into the future', () => {
    expect(scaled({ from: 100_000, to: 300_000 }, 0.5, now)).to.deep.equal({ from: 150_000, to: 250_000 });
    expect(scaled({ last: '1h' }, 2, now)).to.deep.equal({ from: now - 2 * HOUR, to: now });
  });

  it('is never shorter than ten seconds, nor longer than ten years', () => {
    const stretch = (range: ReturnType<typeof fixedRange>) => {
      const { from, to } = stretchOf(range, now);
      return to - from;
    };
    expect(stretch(fixedRange(5, 6))).to.equal(10_000);
    expect(stretch(fixedRange(0, 1e15))).to.equal(10 * 365 * 24 * HOUR);
  });
});

describe("web: the farm's days", () => {
  it('begin at its own midnight, also when one lasts 23 or 25 hours', () => {
    const spring = midnights(Date.UTC(2026, 2, 28), Date.UTC(2026, 2, 31), 'Europe/Berlin');
    expect(spring.map((ts) => new Date(ts).toISOString())).to.deep.equal([
      '2026-03-28T23:00:00.000Z',
      '2026-03-29T22:00:00.000Z',
      '2026-03-30T22:00:00.000Z',
    ]);
    const autumn = midnights(Date.UTC(2026, 9, 24, 12), Date.UTC(2026, 9, 26, 12), 'Europe/Berlin');
    expect(autumn.map((ts) => new Date(ts).getUTCHours())).to.deep.equal([22, 23]);
  });

  it('lie where the zone says, east and west of everybody', () => {
    for (const zone of ['Pacific/Kiritimati', 'Pacific/Pago_Pago', 'Asia/Kathmandu', 'America/St_Johns']) {
      const begin = startOfDay(now, zone);
      expect(toInput(begin, zone).slice(11), zone).to.equal('00:00');
      expect(dateOf(begin, zone)).to.equal(dateOf(now, zone));
    }
  });

  it('are read from an input by the clock of the farm', () => {
    expect(fromInput('2026-03-01T08:30', 'Europe/Berlin')).to.equal(Date.UTC(2026, 2, 1, 7, 30));
    expect(fromInput('2026-07-01', 'America/New_York')).to.equal(Date.UTC(2026, 6, 1, 4));
    for (const wrong of ['', 'x', '2026-13-01', '2026-03-01T25'])
      expect(fromInput(wrong, 'UTC'), wrong).to.equal(undefined);
  });
});

describe('web: a trend', () => {
  const line = (perHour: number, hours = 24) =>
    Array.from({ length: hours * 2 }, (_, i): [number, number] => [i * 0.5 * HOUR, 30 + (perHour * i) / 2]);
  const range = { min: 20, max: 40 };

  it('is what the last hours did, measured against the range of the metric', () => {
    expect(trendOf(line(0.5), range)).to.equal('rising');
    expect(trendOf(line(-0.5), range)).to.equal('falling');
    expect(trendOf(line(0.05), range)).to.equal('steady');
  });

  it('does not rest on the hours before', () => {
    const fell = [...line(-1, 12), ...line(0, 12).map(([ts]): [number, number] => [ts + 12 * HOUR, 18])];
    expect(trendOf(fell, range)).to.equal('steady');
  });

  it('is not told from a few values', () => {
    expect(trendOf(line(1).slice(0, 3), range)).to.equal(undefined);
    expect(trendOf([], range)).to.equal(undefined);
  });
});

describe('web: a sparkline', () => {
  const day = { from: 0, to: 24 * HOUR };
  const range = { min: 20, max: 40 };
  /** The height of each point, from the top, 0 to 28. */
  const heights = (values: readonly number[], metric: { min: number | undefined; max: number | undefined } = range) =>
    [
      ...sparkPath(
        values.map((v, i) => [i * HOUR, v] as const),
        day,
        metric,
      ).matchAll(/[ML][\d.]+ ([\d.]+)/g),
    ].map(([, y]) => Number(y));

  it('fills its height with what changed much, and shows what hardly changed as level', () => {
    expect(heights([20, 30])).to.deep.equal([26, 2]);
    // A twentieth of the range: a fifth of the height, in its middle.
    expect(heights([30, 29])).to.deep.equal([11.6, 16.4]);
    expect(heights([30, 30])).to.deep.equal([14, 14]);
    expect(heights([0, 0], { min: undefined, max: undefined })).to.deep.equal([14, 14]);
    expect(heights([5, 6], { min: undefined, max: undefined })).to.deep.equal([26, 2]);
  });

  it('breaks where values are missing, and of none is empty', () => {
    const path = sparkPath(
      [0, 1, 5, 6].map((hour) => [hour * HOUR, 30] as const),
      day,
      range,
    );
    expect(path.replace(/[\d. ]/g, '')).to.equal('MLML');
    expect(sparkPath([[-HOUR, 30]], day, range)).to.equal('M0.0 14.0h3');
    expect(sparkPath([], day, range)).to.equal('');
  });
});

describe('web: the place under the crosshair', () => {
  const columns = { ts: [10, 20, 30, 40], mean: [1, null, 3, 4], min: [], max: [], alone: [], late: new Map() };

  it('is the nearest value, never a gap', () => {
    expect(placeAt(columns, 11)).to.equal(0);
    expect(placeAt(columns, 21)).to.equal(2);
    expect(placeAt(columns, 99)).to.equal(3);
    expect(placeAt({ ...columns, ts: [], mean: [] }, 5)).to.equal(undefined);
  });
});
