import { expect } from 'chai';
import { type HistoryRow, Series } from '../../client/series.ts';
import { columnsOf } from '../../dashboard/chart/columns.ts';
import { verticalSpan } from '../../dashboard/chart/ranges.ts';

const seriesOf = (bucketMs: number, rows: HistoryRow[], limit?: number) => new Series({ bucketMs, rows }, limit);
const columns = (series: Series, intervalMs: number) => columnsOf(series.buckets, series.bucketMs, intervalMs);
const value = (ts: number, last: number) => ({ ts, last, min: last, max: last, mean: last, count: 1 });
const bucket = (ts: number, v: number): HistoryRow => [ts, v, v, v, v, 1];

describe('web: a series', () => {
  it('folds a live value into the bucket that it belongs to', () => {
    const series = seriesOf(10, [[100, 3, 1, 3, 2, 2]]);
    series.fold(value(104, 8));
    expect(columns(series, 1)).to.deep.include({ ts: [100], min: [1], max: [8], mean: [4] });
    expect(series.extent()).to.deep.equal({ min: 1, max: 8, last: 8, lastTs: 104 });
  });

  it('weighs a folded row by how many values it stands for', () => {
    const series = seriesOf(10, [[100, 2, 2, 2, 2, 1]]);
    series.fold({ ts: 105, last: 6, min: 4, max: 8, mean: 6, count: 3 });
    expect(columns(series, 1)).to.deep.include({ min: [2], max: [8], mean: [5] });
  });

  it('opens a new bucket at the next border', () => {
    const series = seriesOf(10, [bucket(100, 1)]);
    series.fold(value(110, 2));
    series.fold(value(119, 3));
    expect(columns(series, 1).ts).to.deep.equal([100, 110]);
  });

  it('puts a late value where it belongs, and does not call it the last', () => {
    const series = seriesOf(10, [bucket(100, 1), bucket(120, 3)]);
    series.fold(value(125, 4));
    series.fold(value(121, 9));
    series.fold(value(115, 2));
    series.fold(value(50, 0));
    expect(columns(series, 100).ts).to.deep.equal([50, 100, 110, 120]);
    expect(series.extent()).to.include({ last: 4, max: 9 });
  });

  it('takes a width of nothing for single values', () => {
    const series = seriesOf(0, []);
    series.fold(value(7, 1));
    series.fold(value(8, 2));
    expect(columns(series, 1).ts).to.deep.equal([7, 8]);
  });

  it('never holds more than its limit, and lets the oldest go', () => {
    const series = seriesOf(10, [bucket(0, 0), bucket(10, 1), bucket(20, 2)], 2);
    expect(series.length).to.equal(2);
    series.fold(value(30, 3));
    expect(columns(series, 10).ts).to.deep.equal([20, 30]);
  });

  it('forgets what has left the range, but not the bucket that the border cuts', () => {
    const series = seriesOf(10, [bucket(0, 0), bucket(10, 1), bucket(20, 2)]);
    series.trim(15);
    expect(columns(series, 10).ts).to.deep.equal([10, 20]);
    series.trim(1000);
    expect(series.extent()).to.equal(undefined);
  });

  it('breaks the line over more than three buckets, not over three', () => {
    const joined = seriesOf(10, [bucket(0, 1), bucket(30, 2)]);
    expect(columns(joined, 1).mean).to.deep.equal([1, 2]);
    const broken = seriesOf(10, [bucket(0, 1), bucket(40, 2)]);
    expect(columns(broken, 1)).to.deep.include({ ts: [0, 10, 40], mean: [1, null, 2], min: [1, null, 2] });
  });

  it("breaks the line only over more than three of the sensor's intervals where these are wider", () => {
    const series = seriesOf(10, [bucket(0, 1), bucket(40, 2)]);
    expect(columns(series, 15).mean).to.deep.equal([1, 2]);
  });

  it('does not break the line where the sensor once reported at a slower rhythm than it is registered with now', () => {
    const slow = [0, 300, 600, 900, 1200].map((ts) => bucket(ts, 1));
    const quick = [1500, 1505, 1510, 1515, 1520].map((ts) => bucket(ts, 1));
    expect(columns(seriesOf(5, [...slow, ...quick]), 5).mean).not.to.include(null);
  });

  it('breaks the line at a hole in a steady rhythm, wherever it lies', () => {
    for (const at of [1, 4, 8]) {
      const rows = Array.from({ length: 9 }, (_, i) => bucket(i * 10 + (i >= at ? 500 : 0), 1));
      expect(columns(seriesOf(10, rows), 10).mean.indexOf(null), `hole before ${at}`).to.equal(at);
    }
  });

  it('tells which values stand alone, because no line would show them', () => {
    const series = seriesOf(10, [bucket(0, 1), bucket(100, 2), bucket(110, 3), bucket(300, 4)]);
    const { alone, mean } = columns(series, 1);
    expect(alone.map((i) => mean[i])).to.deep.equal([1, 4]);
  });
});

describe("web: a chart's vertical axis", () => {
  it('does not blow noise up: it spans at least half of the range in which all is well', () => {
    const [low, high] = verticalSpan({ min: 31, max: 31.1 }, { min: 20, max: 40 });
    expect(high - low).to.be.closeTo(10, 1e-9);
    expect(low).to.be.below(31);
  });

  it('holds all of the data with a margin', () => {
    const [low, high] = verticalSpan({ min: 0, max: 100 }, { min: 20, max: 40 });
    expect(low).to.be.below(0);
    expect(high).to.be.above(100);
  });

  it('has a height even when all values are equal, or none is there', () => {
    for (const data of [{ min: 0, max: 0 }, undefined]) {
      const [low, high] = verticalSpan(data, { min: undefined, max: undefined });
      expect(high).to.be.above(low);
    }
  });
});
