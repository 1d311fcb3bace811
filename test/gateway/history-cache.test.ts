import { expect } from 'chai';
import type { HistoryQuery, Store } from '../../backbone/ports/store.ts';
import { chooseCut, wholeBuckets } from '../../dashboard-gateway/history/buckets.ts';
import { HistoryCache } from '../../dashboard-gateway/history/cache.ts';
import { type Asked, History } from '../../dashboard-gateway/history/history.ts';
import { LateWrites } from '../../dashboard-gateway/history/late-writes.ts';
import { SharedQueries } from '../../dashboard-gateway/history/shared-queries.ts';
import { batchId, changedBy, encodeLive } from '../../telemetry/batch.ts';
import { until } from '../services/wait.ts';
import { call, overlay, Place, reading } from './harness.ts';

const HOUR = 3_600_000;
const DAY = 24 * HOUR;
const begin = Date.parse('2026-03-27T00:00:00+01:00');

describe('whole buckets of a range', () => {
  const ms = (width: number) => ({ bucket: { ms: width }, bucketMs: width });

  it('are those that the range’s ends do not cut', () => {
    expect(wholeBuckets(ms(10), 5, 42)).to.deep.equal({ from: 10, to: 40 });
    expect(wholeBuckets(ms(10), 10, 40)).to.deep.equal({ from: 10, to: 40 });
    expect(wholeBuckets(ms(10), 11, 39)).to.equal(undefined);
    expect(wholeBuckets(ms(10), 40, 10)).to.equal(undefined);
  });

  it('are calendar days where days are asked for', () => {
    const cut = { bucket: { daysIn: 'Europe/Berlin', days: 1 }, bucketMs: DAY };
    const whole = { from: begin, to: begin + 3 * DAY - HOUR };
    expect(wholeBuckets(cut, begin, whole.to + 5 * HOUR)).to.deep.equal(whole);
    expect(wholeBuckets(cut, begin - HOUR, whole.to)).to.deep.equal(whole);
  });

  it('are lots of days counted from 1970 where those are asked for', () => {
    const cut = { bucket: { daysIn: 'Europe/Berlin', days: 2 }, bucketMs: 2 * DAY };
    // The 27th is day 20539 since 1970, the second of its two.
    const whole = { from: begin + DAY, to: begin + 5 * DAY - HOUR };
    expect(wholeBuckets(cut, begin + 1, whole.to + 5 * HOUR)).to.equal(undefined);
    expect(wholeBuckets(cut, begin + 1, whole.to + 2 * DAY)).to.deep.equal({ ...whole, to: whole.to + 2 * DAY });
    expect(wholeBuckets(cut, whole.from, whole.to + 2 * DAY)).to.deep.equal({ ...whole, to: whole.to + 2 * DAY });
  });
});

describe('what is kept of the history', () => {
  const bucket = { ts: 10, last: 1, min: -1, max: 1e300, mean: 1 / 3, count: 2, received: 11 };
  const subject = (over: object = {}) => ({
    farm: 'north',
    metric: 'm',
    sensors: new Set(['a', 'b']),
    from: 10,
    to: 20,
    key: JSON.stringify(over),
    ...over,
  });

  it('comes back as it was', () => {
    const cache = new HistoryCache(() => 0);
    cache.put(subject(), [bucket, { ...bucket, ts: 15 }]);
    expect(cache.get('{}')).to.deep.equal([bucket, { ...bucket, ts: 15 }]);
    expect(cache.get('other')).to.equal(undefined);
    expect(cache.counters).to.include({ hit: 1, miss: 1 });
  });

  it('goes when a value falls into it, and stays when it falls beside it', () => {
    const cache = new HistoryCache(() => 0);
    const change = { farm: 'north', sensor: 'a', from: 10, to: 11 };
    const spoils = (by: object, metrics?: string[]) => {
      cache.put(subject(), [bucket]);
      cache.drop({ ...change, ...by }, metrics);
      return cache.get('{}') === undefined;
    };
    expect(spoils({}, ['m'])).to.equal(true);
    expect(spoils({})).to.equal(true);
    expect(spoils({ from: 19, to: 100 })).to.equal(true);
    for (const beside of [{ farm: 'south' }, { sensor: 'c' }, { from: 9, to: 10 }, { from: 20, to: 21 }]) {
      expect(spoils(beside), JSON.stringify(beside)).to.equal(false);
    }
    expect(spoils({}, ['other'])).to.equal(false);
  });

  it('is bounded by bytes and by time', () => {
    let now = 1;
    const cache = new HistoryCache(() => now);
    for (let i = 0; i < 3_000; i++) cache.put(subject({ n: i }), Array(500).fill(bucket));
    expect(cache.bytes).to.be.within(16 * 1024 * 1024, 32 * 1024 * 1024);
    cache.put(subject(), [bucket]);
    now += 6 * 60_000;
    expect(cache.get('{}')).to.equal(undefined);
  });
});

describe('late writes', () => {
  const change = { farm: 'north', sensor: 'a', from: 10, to: 20 };
  const sensors = new Set(['a']);

  it('are remembered for a while, by sensor and span', () => {
    const late = new LateWrites(1_000);
    late.add(change, 5_000);
    expect(late.overlaps('north', sensors, { from: 19, to: 30 }, 5_000)).to.equal(true);
    expect(late.overlaps('north', sensors, { from: 19, to: 30 }, 6_500)).to.equal(true);
    expect(late.overlaps('north', sensors, { from: 20, to: 30 }, 5_000)).to.equal(false);
    expect(late.overlaps('south', sensors, { from: 0, to: 30 }, 5_000)).to.equal(false);
    expect(late.overlaps('north', sensors, { from: 19, to: 30 }, 8_500)).to.equal(false);
  });

  it('of too many sensors are taken to be everywhere', () => {
    const late = new LateWrites(1_000);
    for (let i = 0; i <= 20_000; i++) late.add({ ...change, sensor: `s${i}` }, 5_000);
    expect(late.overlaps('south', sensors, { from: 0, to: 1 }, 5_500)).to.equal(true);
    expect(late.overlaps('south', sensors, { from: 0, to: 1 }, 9_000)).to.equal(false);
  });
});

describe('work that many ask for', () => {
  it('is done once, goes on while somebody waits, and ends with the last', async () => {
    const flights = new SharedQueries<number>();
    let signal: AbortSignal | undefined;
    let land: (value: number) => void = () => {};
    let begun = 0;
    const begin = (given: AbortSignal) => {
      begun++;
      signal = given;
      return new Promise<number>((resolve) => {
        land = resolve;
      });
    };
    const [one, two] = [new AbortController(), new AbortController()];
    const first = flights.join('x', 'ada', one.signal, begin).catch((e: unknown) => e);
    const second = flights.join('x', 'ada', two.signal, begin);
    one.abort(new Error('gone'));
    expect(await first).to.be.instanceOf(Error);
    expect(signal?.aborted).to.equal(false);
    land(7);
    expect(await second).to.equal(7);
    const third = flights.join('x', 'ada', two.signal, begin).catch((e: unknown) => e);
    expect(begun).to.equal(2);
    two.abort(new Error('gone too'));
    expect(await third).to.include({ message: 'gone too' });
    expect(signal?.aborted).to.equal(true);
  });

  it('and that waits for the turn of another one is asked for again, until somebody’s has begun', async () => {
    const flights = new SharedQueries<string>();
    const { signal } = new AbortController();
    const begins: (() => void)[] = [];
    const ends: (() => void)[] = [];
    const of = (owner: string) => (_: AbortSignal, begun: () => void) => {
      begins.push(begun);
      return new Promise<string>((resolve) => void ends.push(() => resolve(owner)));
    };
    const join = (owner: string) => flights.join('x', owner, signal, of(owner));
    const all = [join('ada'), join('ada'), join('vera')];
    expect(begins).to.have.length(2);
    begins[1]?.();
    all.push(join('ada'), join('sam'));
    expect(begins).to.have.length(2);
    for (const end of ends) end();
    expect(await Promise.all(all)).to.deep.equal(['ada', 'ada', 'vera', 'vera', 'vera']);
  });
});

describe('history from memory', () => {
  let place: Place;
  let queries: HistoryQuery[];
  let counting: Store;

  beforeEach(async () => {
    place = await Place.open();
    queries = [];
    counting = overlay(place.store, {
      history: (query: HistoryQuery, signal?: AbortSignal) => {
        queries.push(query);
        return place.store.history(query, signal);
      },
    });
    const readings = Array.from({ length: 72 * 4 }, (_, i) =>
      reading({ ts: begin + (i * HOUR) / 4, values: { moisture: i } }),
    );
    // A second sensor that measures far less often.
    const rare = [1, 30, 31, 50].map((h) =>
      reading({ sensor: 's2', ts: begin + h * HOUR, values: { moisture: 10_000 * h } }),
    );
    await place.store.write([...readings, ...rare]);
  });

  afterEach(() => place.close());

  const rows = async (port: number, cookie: string, query: string) => {
    const answer = await call(port, `/api/farms/north/history?sensor=s1&metric=moisture&${query}`, {
      headers: { cookie },
    });
    return JSON.parse(answer.text).rows as number[][];
  };
  const count = (all: number[][]) => all.reduce((sum, row) => sum + (row[5] ?? 0), 0);
  const width = (query: HistoryQuery | undefined) => (query ? query.to - query.from : 0);

  it('asks the store for the edges alone, until a late reading or an import falls into it', async () => {
    const gateway = await place.gateway({ store: counting });
    const cookie = await place.signIn(gateway, 'vera');
    const query = (shift: number) => `from=${begin + shift}&to=${begin + 2 * DAY + shift}&points=48`;
    const ask = (shift: number) => rows(gateway.port, cookie, query(shift));

    expect(count(await ask(1_000))).to.equal(192);
    queries = [];
    expect(count(await ask(2_000))).to.equal(192);
    expect(Math.max(...queries.map(width)), 'only edges').to.be.at.most(2 * HOUR);

    const late = reading({ ts: begin + 5 * HOUR + 1, received: Date.now(), values: { moisture: 5 } });
    await place.store.write([late]);
    await place.announce([late]);
    await until('the late reading is in it', async () => count(await ask(3_000)) === 193);

    const imported = [reading({ ts: begin + 6 * HOUR + 1, values: { moisture: 6 } })];
    await place.store.write(imported);
    await place.live.append(encodeLive({ id: batchId(), readings: [], changed: changedBy(imported) }));
    await until('the imported reading is in it', async () => count(await ask(4_000)) === 194);
  });

  it('hears of a batch that is announced a second time, for only then it may have been written', async () => {
    const gateway = await place.gateway({ store: counting });
    const cookie = await place.signIn(gateway, 'vera');
    const ask = () => rows(gateway.port, cookie, `from=${begin}&to=${begin + 2 * DAY}&points=48`);
    const late = reading({ ts: begin + 5 * HOUR + 1, values: { moisture: 5 } });
    const id = batchId();
    await place.announce([late], id);
    expect(count(await ask())).to.equal(192);
    await place.store.write([late]);
    await place.announce([late], id);
    await until('it is in it', async () => count(await ask()) === 193);
  });

  it('is what the store says, whatever was asked before', async () => {
    const now = () => begin + 3 * DAY;
    const history = new History({ store: counting, hearsAll: () => true, now });
    let state = 7;
    const random = (below: number) => {
      state = (state * 1103515245 + 12345) % 2 ** 31;
      return state % below;
    };
    for (let round = 0; round < 50; round++) {
      const from = begin - DAY + random(3) * 12 * HOUR + random(3);
      const asked: Asked = {
        farm: 'north',
        zone: 'Europe/Berlin',
        sensors: [['s1'], ['s1', 's2']][random(2)] ?? [],
        held: [[], [['s1', HOUR] as const, ['s2', 20 * HOUR] as const]][random(2)] ?? [],
        metric: 'moisture',
        from,
        to: from + (1 + random(4)) * DAY + random(3),
        user: 'vera',
        points: [1, 2, 3, 5, 48, 500][random(6)] ?? 1,
      };
      const { rows } = await history.ask(asked, new AbortController().signal);
      const { bucket } = chooseCut(asked.from, asked.to, asked.points, asked.zone);
      const fresh = await place.store.history({ ...asked, bucket });
      const expected = fresh.map((b) => [b.ts, b.last, b.min, b.max, b.mean, b.count]);
      expect(
        rows.map((row) => row.slice(0, 6)),
        JSON.stringify(asked),
      ).to.deep.equal(expected);
      if (round % 10 === 0) {
        const ts = begin + random(3 * DAY);
        const late = reading({ ts, sensor: ['s1', 's2'][random(2)] ?? 's1', values: { moisture: round } });
        await place.store.write([late]);
        history.wrote({ id: 'x', readings: [late] });
      }
    }
    history.close();
  });

  it('of a field is asked for again when a value comes that is held in it, or is held for another time', async () => {
    const history = new History({ store: counting, hearsAll: () => true, now: () => begin + 3 * DAY });
    const range = { from: begin + 12 * HOUR, to: begin + 24 * HOUR, points: 12 };
    const whose = { farm: 'north', zone: 'UTC', sensors: ['s1', 's3'], metric: 'moisture', user: 'vera' };
    const means = async (ms: number) => {
      const held = [['s1', HOUR] as const, ['s3', ms] as const];
      const { rows } = await history.ask({ ...whose, ...range, held }, new AbortController().signal);
      return rows.map((row) => row[4]);
    };
    const alone = await means(0);
    const withIt = (value: number, until: number) =>
      alone.map((mean, hour) => (12 + hour < until ? (mean + value) / 2 : mean));
    await place.store.write([reading({ ts: begin + HOUR, sensor: 's3', values: { moisture: 1_000 } })]);
    expect(await means(14 * HOUR)).to.deep.equal(withIt(1_000, 15));
    expect(await means(18 * HOUR)).to.deep.equal(withIt(1_000, 19));
    const late = reading({ ts: begin + 2 * HOUR, sensor: 's3', values: { moisture: 2_000 } });
    await place.store.write([late]);
    history.wrote({ id: 'x', readings: [late] });
    expect(await means(14 * HOUR)).to.deep.equal(withIt(2_000, 16));
    history.close();
  });

  it('does not keep an answer that a late reading overtook on its way', async () => {
    const answers: (() => void)[] = [];
    const slow = overlay(place.store, {
      history: async (query: HistoryQuery, signal?: AbortSignal) => {
        const found = await place.store.history(query, signal);
        if (width(query) === DAY) await new Promise<void>((go) => void answers.push(go));
        return found;
      },
    });
    const history = new History({ store: slow, hearsAll: () => true, now: () => begin + 3 * DAY });
    const range = { from: begin, to: begin + DAY, points: 24 };
    const asked = { farm: 'north', zone: 'UTC', sensors: ['s1'], metric: 'moisture', user: 'vera', ...range };
    const ask = async () => (await history.ask(asked, new AbortController().signal)).rows.map((row) => [...row]);
    const first = ask();
    await until('the store has answered', () => answers.length === 1);
    const late = reading({ ts: begin + 5 * HOUR + 1, values: { moisture: 5 } });
    await place.store.write([late]);
    history.wrote({ id: 'x', readings: [late] });
    answers[0]?.();
    expect(count(await first)).to.equal(96);
    const second = ask();
    await until('the store is asked again', () => answers.length === 2);
    answers[1]?.();
    expect(count(await second)).to.equal(97);
    history.close();
  });

  it('is not used while the live log is not heard', async () => {
    let hears = true;
    const history = new History({ store: counting, hearsAll: () => hears, now: () => begin + 3 * DAY });
    const asked = {
      farm: 'north',
      zone: 'UTC',
      sensors: ['s1'],
      metric: 'moisture',
      from: begin,
      to: begin + DAY,
      points: 24,
      user: 'vera',
    };
    const ask = async () => {
      queries = [];
      await history.ask(asked, new AbortController().signal);
      return Math.max(0, ...queries.map(width));
    };
    expect(await ask()).to.equal(DAY);
    expect(await ask()).to.equal(0);
    hears = false;
    expect(await ask()).to.equal(DAY);
    hears = true;
    history.begin();
    expect(await ask(), 'begun anew').to.equal(DAY);
    history.close();
  });
});
