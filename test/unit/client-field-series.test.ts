import { expect } from 'chai';
import { Events, type LiveEvents } from '../../client/events.ts';
import { LiveSeries, type LiveSeriesOptions, type Span } from '../../client/live-series.ts';
import { type HistoryRow, Series } from '../../client/series.ts';
import { until } from '../services/wait.ts';

const WIDTH = 1000;
const SETTLE_MS = 40;

interface Value {
  readonly sensor: string;
  readonly ts: number;
  readonly value: number;
}

/** The part of a client that a series listens to. */
class Heard extends Events {
  tell<Name extends keyof LiveEvents>(name: Name, told: LiveEvents[Name]): void {
    this.emit(name, told);
  }
}

/** A store of several sensors and a line that announces what it is given. */
class Field {
  readonly heard = new Heard();
  readonly stored: Value[] = [];
  readonly asked: Span[] = [];
  readonly begin = Math.floor((Date.now() - 100 * WIDTH) / WIDTH) * WIDTH;
  readonly open: LiveSeries[] = [];

  /** A series of all sensors, or of one. */
  series(sensor?: string, options: Partial<LiveSeriesOptions> = {}): LiveSeries {
    const made = new LiveSeries({
      client: this.heard,
      accepts: (row) => sensor === undefined || row.sensor === sensor,
      ...(sensor === undefined ? {} : { several: false }),
      span: () => ({ from: this.begin, to: this.begin + 200 * WIDTH, points: 201 }),
      fetch: async (span) => {
        this.asked.push(span);
        return { bucketMs: WIDTH, rows: this.rows(span) };
      },
      onChange: () => undefined,
      settleMs: SETTLE_MS,
      ...options,
    });
    this.open.push(made);
    return made;
  }

  store(second: number, sensor: string, value: number): Value {
    const one = { sensor, ts: this.begin + second * WIDTH, value };
    this.stored.push(one);
    return one;
  }

  /** Stores a value and announces it. */
  measure(second: number, sensor: string, value: number): void {
    const { ts } = this.store(second, sensor, value);
    this.announce([{ sensor, ts, last: value, min: value, max: value, mean: value, count: 1 }]);
  }

  announce(rows: readonly ({ sensor: string } & Parameters<Series['fold']>[0])[]): void {
    const told = rows.map((row) => ({ ...row, metric: 'ec' }));
    this.heard.tell('readings', { type: 'readings', farm: 'north', field: 'f1', rows: told });
  }

  /** As the gateway answers: the mean is that of the sensors' own means. */
  rows({ from, to }: Pick<Span, 'from' | 'to'>): HistoryRow[] {
    const within = this.stored.filter(({ ts }) => ts >= from && ts < to).sort((a, b) => a.ts - b.ts);
    const begins = [...new Set(within.map(({ ts }) => ts - (ts % WIDTH)))];
    return begins.map((begin) => {
      const list = within.filter(({ ts }) => ts - (ts % WIDTH) === begin);
      const values = list.map(({ value }) => value);
      const sensors = [...new Set(list.map(({ sensor }) => sensor))];
      const own = (of: string) => meanOf(list.filter(({ sensor }) => sensor === of).map(({ value }) => value));
      const last = values.at(-1) ?? Number.NaN;
      return [begin, last, Math.min(...values), Math.max(...values), meanOf(sensors.map(own)), values.length];
    });
  }
}

function meanOf(values: readonly number[]): number {
  return values.reduce((a, b) => a + b, 0) / values.length;
}

const means = ({ series }: LiveSeries) => (series?.buckets ?? []).map(({ mean }) => mean);

describe('client: a live series of several sensors', () => {
  let field: Field;

  beforeEach(() => {
    field = new Field();
  });

  afterEach(() => {
    for (const series of field.open) series.close();
  });

  const settled = (series: LiveSeries) => until('it has settled', () => series.settled);
  const fetched = (series: LiveSeries) => until('its history', () => series.series);
  const one = (ts: number, sensor: string, value: number, count = 1) => {
    return { sensor, ts, last: value, min: value, max: value, mean: value, count };
  };

  it('counts each sensor once in the mean of a bucket that it saw from its begin, without asking', async () => {
    const series = field.series();
    await settled(series);
    const looks = field.asked.length;
    for (let i = 0; i < 20; i++) field.measure(150 + i / 30, 'a', i % 2 === 0 ? 10 : 30);
    field.measure(150.9, 'b', 40);
    expect(means(series)).to.deep.equal([30]);
    expect(series.series?.buckets[0]).to.include({ min: 10, max: 40, last: 40, count: 21 });
    expect(series.settled).to.equal(true);
    expect(field.asked.length).to.equal(looks);
  });

  it('has what other sensors say in a bucket that begins, until they measure there', async () => {
    const begins: number[] = [];
    const series = field.series(undefined, {
      heldAt: (begin) => {
        begins.push(begin - field.begin);
        return [
          { sensor: 'a', value: 1_000 },
          { sensor: 'b', value: 40 },
        ];
      },
    });
    await settled(series);
    const looks = field.asked.length;
    field.measure(150, 'a', 20);
    expect(means(series)).to.deep.equal([30]);
    field.measure(150.5, 'a', 30);
    expect(means(series)).to.deep.equal([32.5]);
    field.measure(150.6, 'b', 75);
    expect(means(series)).to.deep.equal([50]);
    expect(series.series?.buckets[0]).to.include({ min: 20, max: 75, count: 3 });
    expect(begins).to.deep.equal([150_000]);
    expect(field.asked.length).to.equal(looks);
  });

  for (const sensor of [undefined, 'a']) {
    it(`of directions has the mean that the gateway tells, of ${sensor ? 'one sensor' : 'several'}`, async () => {
      const series = field.series(sensor, { directions: true });
      await settled(series);
      const looks = field.asked.length;
      field.measure(150, 'a', 350);
      field.measure(150.1, 'a', 10);
      expect(means(series)).to.deep.equal([350]);
      await settled(series);
      expect(field.asked.length).to.be.above(looks);
      expect(means(series)).to.deep.equal([180]);
    });
  }

  it('weighs a row that stands for several values within its sensor only', async () => {
    const series = field.series();
    await settled(series);
    field.announce([
      one(field.begin + 150_000, 'a', 10, 9),
      one(field.begin + 150_500, 'b', 50),
      one(field.begin + 150_600, 'a', 20),
    ]);
    expect(means(series)).to.deep.equal([30.5]);
  });

  it('leaves the mean of a bucket that was fetched as it is, and has it right when it has come to rest', async () => {
    for (let i = 0; i < 10; i++) field.store(60 + i / 20, 'a', 20);
    field.store(60.6, 'b', 40);
    const series = field.series();
    await fetched(series);
    expect(means(series)).to.deep.equal([30]);
    field.measure(60.7, 'a', 42);
    expect(means(series)).to.deep.equal([30]);
    expect(series.series?.buckets[0]).to.include({ max: 42, count: 12 });
    await settled(series);
    expect(means(series)).to.deep.equal([31]);
  });

  it('asks for a mean now and then where rows keep arriving in its bucket', async () => {
    field.store(60, 'b', 40);
    const series = field.series();
    await settled(series);
    let measured = 0;
    await until('the mean follows', () => {
      field.measure(60.5, 'a', 20);
      measured += 1;
      return means(series)[0] === 30;
    });
    expect(field.asked.length).to.be.below(measured);
  });

  it('has the mean right of a bucket that something came into long after it was over', async () => {
    field.store(10, 'a', 20);
    field.store(90, 'a', 50);
    const series = field.series();
    await settled(series);
    for (let i = 0; i < 5; i++) field.measure(10.2 + i / 10, 'b', 60);
    await settled(series);
    expect(means(series)).to.deep.equal([40, 50]);
  });

  it('of one sensor weighs every value alike, and knows without asking', async () => {
    field.store(60, 'a', 20);
    field.store(60.1, 'a', 20);
    const series = field.series('a');
    await settled(series);
    const looks = field.asked.length;
    field.measure(60.2, 'a', 50);
    field.measure(60.2, 'b', 1000);
    expect(means(series)).to.deep.equal([30]);
    expect(series.settled).to.equal(true);
    expect(field.asked.length).to.equal(looks);
  });

  it('shows at rest what a series shows that is opened then, whatever came when', async () => {
    let state = 5;
    const random = (below: number) => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return state % below;
    };
    const sensors = ['a', 'a', 'a', 'a', 'b', 'b', 'c'];
    const next = () => [60 + random(8) + random(99) / 100, sensors[random(7)] ?? '', random(1000)] as const;
    for (let i = 0; i < 40; i++) field.store(...next());
    const series = field.series();
    for (let i = 0; i < 200; i++) {
      field.measure(...next());
      // The line and the store get some time in between.
      if (i % 20 === 0) await new Promise((go) => setImmediate(go));
      if (i === 100) await settled(series);
      if (i === 50) field.heard.tell('gap', { type: 'gap', id: 1 });
    }
    await settled(series);
    const fresh = field.rows({ from: 0, to: Number.POSITIVE_INFINITY });
    expect(means(series).length).to.equal(fresh.length);
    for (const [i, [, , min, max, mean, count]] of fresh.entries()) {
      expect(series.series?.buckets[i]).to.include({ min, max, count });
      expect(series.series?.buckets[i]?.mean).to.be.closeTo(mean, 1e-9);
    }
  });
});

describe('web: a series of several sensors', () => {
  it('remembers whose values there are of so many sensors, and forgets those of the oldest buckets', () => {
    const series = new Series({ bucketMs: 10, rows: [] });
    const fold = (ts: number, sensor: string, v: number) =>
      series.fold({ sensor, ts, last: v, min: v, max: v, mean: v, count: 1 });
    for (let ts = 0; ts < 30; ts += 10) for (let i = 0; i < 8_000; i++) fold(ts, `s${i}`, 1);
    fold(5, 's0', 5);
    expect(series.knowsMean(0)).to.equal(false);
    for (const ts of [10, 20]) {
      fold(ts, 's0', 5);
      expect(series.knowsMean(ts)).to.equal(true);
      expect(series.buckets[ts / 10]?.mean).to.be.closeTo(1 + 2 / 8_000, 1e-9);
    }
    expect(series.buckets[0]?.mean).to.be.closeTo(1, 1e-9);
  });
});
