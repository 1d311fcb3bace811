import { expect } from 'chai';
import { Events, type LiveEvents } from '../../client/events.ts';
import { LiveSeries, type LiveSeriesOptions, type Span } from '../../client/live-series.ts';
import type { HistoryRow } from '../../client/series.ts';
import { until } from '../services/wait.ts';

const WIDTH = 1000;
const SETTLE_MS = 40;

/** The part of a client that a series listens to. */
class Heard extends Events {
  tell<Name extends keyof LiveEvents>(name: Name, told: LiveEvents[Name]): void {
    this.emit(name, told);
  }
}

/** A store that knows what it was given, and a line that announces: the test decides what comes first. */
class World {
  readonly heard = new Heard();
  readonly stored = new Map<number, number>();
  readonly asked: Span[] = [];
  readonly begin = Math.floor((Date.now() - 100 * WIDTH) / WIDTH) * WIDTH;
  failure: Error | undefined;
  /** Answers wait for it. */
  gate: Promise<void> = Promise.resolve();
  readonly open: LiveSeries[] = [];

  series(options: Partial<LiveSeriesOptions> = {}): LiveSeries {
    const made = new LiveSeries({
      client: this.heard,
      accepts: (row) => row.sensor === 's1',
      span: () => ({ from: this.begin, to: this.begin + 200 * WIDTH, points: 201 }),
      fetch: (span) => this.fetch(span),
      onChange: () => undefined,
      settleMs: SETTLE_MS,
      ...options,
    });
    this.open.push(made);
    return made;
  }

  announce(second: number, last: number, sensor = 's1'): void {
    const one = { min: last, max: last, mean: last, count: 1 };
    const rows = [{ sensor, metric: 'ec', ts: this.begin + second * WIDTH, last, ...one }];
    this.heard.tell('readings', { type: 'readings', farm: 'north', field: 'f1', rows });
  }

  store(second: number, value: number): void {
    this.stored.set(this.begin + second * WIDTH, value);
  }

  private async fetch(span: Span) {
    this.asked.push(span);
    const rows = [...this.stored]
      .filter(([ts]) => ts >= span.from && ts < span.to)
      .sort(([a], [b]) => a - b)
      .map(([ts, v]): HistoryRow => [ts, v, v, v, v, 1]);
    await this.gate;
    if (this.failure) throw this.failure;
    return { bucketMs: WIDTH, rows };
  }
}

/** Seconds and values, with the count where it is not 1. */
const content = (world: World, { series }: LiveSeries) =>
  (series?.buckets ?? []).map((b) => {
    const at = [(b.ts - world.begin) / WIDTH, b.last];
    return b.count === 1 ? at : [...at, b.count];
  });

describe('client: a live series', () => {
  let world: World;

  beforeEach(() => {
    world = new World();
  });

  afterEach(() => {
    for (const series of world.open) series.close();
  });

  const settled = (series: LiveSeries) => until('it has settled', () => series.settled);

  it('grows with live rows of its own, and with no others', async () => {
    world.store(1, 10);
    const series = world.series();
    await until('its history', () => series.series);
    world.announce(2, 20);
    world.announce(2, 99, 's2');
    expect(content(world, series)).to.deep.equal([
      [1, 10],
      [2, 20],
    ]);
  });

  it('counts a value once that came live and was in the answer as well', async () => {
    let pass = () => {};
    world.gate = new Promise((resolve) => {
      pass = resolve;
    });
    world.store(1, 10);
    const series = world.series();
    world.announce(1, 10);
    pass();
    await settled(series);
    expect(content(world, series)).to.deep.equal([[1, 10]]);
  });

  it('finds a value that was announced before it listened and stored after it had asked', async () => {
    const series = world.series();
    await until('its history', () => series.series);
    world.store(50, 7);
    await settled(series);
    expect(content(world, series)).to.deep.equal([[50, 7]]);
  });

  it('does not take a value away that is announced and not stored yet', async () => {
    const series = world.series();
    await until('its history', () => series.series);
    const looks = world.asked.length;
    world.announce(60, 5);
    await until('a second look', () => {
      world.announce(60, 5);
      return world.asked.length > looks;
    });
    expect(content(world, series)).to.have.nested.property('[0][0]', 60);
    world.store(60, 5);
    await settled(series);
    expect(content(world, series)).to.deep.equal([[60, 5]]);
  });

  it('is fetched again after a gap, and holds what was missed', async () => {
    const series = world.series();
    await settled(series);
    world.store(3, 30);
    world.heard.tell('gap', { type: 'gap', id: 1 });
    await until('the missed value', () => content(world, series).length === 1);
  });

  it('begins with live rows while the history cannot be had, and tries again when the line is live', async () => {
    world.failure = new Error('away');
    const problems: boolean[] = [];
    const series = world.series({ onProblem: (_, again) => problems.push(again) });
    await until('the problem', () => problems.length > 0);
    world.announce(4, 40);
    expect(series.series?.length).to.equal(1);
    world.failure = undefined;
    world.store(1, 10);
    world.heard.tell('state', { phase: 'live', tickMs: undefined });
    await until('the history', () => content(world, series).some(([second]) => second === 1));
    expect(problems).to.deep.equal([true]);
  });

  it('does not try again what cannot pass by itself', async () => {
    world.failure = new Error('forbidden');
    const problems: boolean[] = [];
    world.series({ onProblem: (_, again) => problems.push(again), mayPass: () => false });
    await until('the problem', () => problems.length > 0);
    world.heard.tell('state', { phase: 'live', tickMs: undefined });
    expect(problems).to.deep.equal([false]);
    expect(world.asked).to.have.length(1);
  });

  it('marks the bucket into which something arrived long after it was over, by the given clock', async () => {
    world.store(1, 10);
    let now = world.begin + 10 * WIDTH;
    const series = world.series({ now: () => now });
    await until('its history', () => series.series);
    world.announce(9, 90);
    world.announce(5, 50);
    now += 15 * 60_000;
    world.announce(6, 60);
    const late = series.series?.buckets.flatMap(({ ts, lateAt }) =>
      lateAt ? [[(ts - world.begin) / WIDTH, lateAt]] : [],
    );
    expect(late).to.deep.equal([[6, now]]);
  });

  it('is still after close', async () => {
    const series = world.series();
    await until('its history', () => series.series);
    series.close();
    world.announce(2, 20);
    expect(content(world, series)).to.deep.equal([]);
  });
});
