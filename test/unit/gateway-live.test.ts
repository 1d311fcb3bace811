import { expect } from 'chai';
import { TokenBucket } from '../../core/token-bucket.ts';
import { EntryWindow } from '../../dashboard-gateway/live/feed/entry-window.ts';
import { SeenIds } from '../../dashboard-gateway/live/feed/seen-ids.ts';
import { LONGEST_TICK_MS, SHORTEST_TICK_MS, TickPace } from '../../dashboard-gateway/live/pace.ts';
import { parseMessage } from '../../dashboard-gateway/live/sockets/protocol.ts';
import { Slowness } from '../../dashboard-gateway/live/sockets/slowness.ts';
import { TickFold } from '../../dashboard-gateway/live/state/fold.ts';
import { FarmLatest } from '../../dashboard-gateway/live/state/latest.ts';
import { clockSkew, statusOf } from '../../dashboard-gateway/live/state/sensor-status.ts';
import { stateSince } from '../../dashboard-gateway/sensors/sensor-state.ts';
import type { Reading } from '../../telemetry/reading.ts';

describe('a sensor’s state', () => {
  const MINUTE = 60_000;
  it('is online below 2 intervals, late below 5, offline from then on, and never without a reading', () => {
    expect(stateSince(1000, MINUTE, 1000 + 2 * MINUTE - 1)).to.deep.equal({ state: 'online', since: 1000 });
    expect(stateSince(1000, MINUTE, 1000 + 2 * MINUTE)).to.deep.equal({ state: 'late', since: 1000 + 2 * MINUTE });
    expect(stateSince(1000, MINUTE, 1000 + 5 * MINUTE - 1).state).to.equal('late');
    expect(stateSince(1000, MINUTE, 1000 + 5 * MINUTE)).to.deep.equal({ state: 'offline', since: 1000 + 5 * MINUTE });
    expect(stateSince(undefined, MINUTE, 0)).to.deep.equal({ state: 'never', since: 0 });
  });
});

const of = (sensor: string, ts: number, values: Record<string, number>): Reading => ({
  farm: 'n',
  sensor,
  ts,
  received: ts,
  values,
});

describe('the fold of a tick', () => {
  it('keeps last by time, min, max, mean and count within a second, by field', () => {
    const fold = new TickFold();
    fold.take('f1', of('s1', 1500, { m: 4 }));
    fold.take('f1', of('s1', 1200, { m: 1 }));
    fold.take('f2', of('s2', 1200, { m: 9 }));
    expect([...fold.fields()]).to.deep.equal([
      ['f1', [['s1', 'm', 1500, 4, 1, 4, 2.5, 2]]],
      ['f2', [['s2', 'm', 1200, 9]]],
    ]);
    fold.clear();
    expect([...fold.fields()]).to.deep.equal([]);
  });

  it('tells times in whole milliseconds, and knows which value of one millisecond was the last', () => {
    const fold = new TickFold();
    fold.take('f1', of('s1', 1200.999, { m: 9 }));
    fold.take('f1', of('s1', 1200.001, { m: 1 }));
    fold.take('f1', of('s2', 1200.5, { m: 5 }));
    expect([...fold.fields()]).to.deep.equal([
      [
        'f1',
        [
          ['s1', 'm', 1200, 9, 1, 9, 5, 2],
          ['s2', 'm', 1200, 5],
        ],
      ],
    ]);
  });

  it('keeps the points of a backfill apart', () => {
    const fold = new TickFold();
    for (const ts of [1000, 61_000, 121_000]) fold.take('f1', of('s1', ts, { m: ts }));
    expect(fold.rowCount).to.equal(3);
  });
});

describe('the window of newest entries', () => {
  const entry = (offset: number, readings: number) => ({
    offset,
    at: offset * 10,
    readings: Array.from({ length: readings }, (_, i) => of(`s${i}`, offset * 10, { m: 1 })),
  });
  const fill = (window: EntryWindow, ...offsets: number[]) => {
    for (const offset of offsets) window.add(offset, entry(offset, 2).readings);
  };
  const offsets = (window: EntryWindow, after: number) => [...window.after(after)].map((kept) => kept.offset);

  it('gives what came after an offset, and says from where on nothing is missing', () => {
    const window = new EntryWindow(3, 0, 100, { left: 100 });
    fill(window, 3, 5, 9);
    window.add(10, []);
    expect(window.from).to.equal(3);
    expect(offsets(window, 2)).to.deep.equal([3, 5, 9]);
    expect(offsets(window, 4)).to.deep.equal([5, 9]);
    expect(offsets(window, 9)).to.deep.equal([]);
    expect(window.timeOf(6)).to.equal(50);
    expect(window.timeOf(2)).to.equal(0);
  });

  it('drops its oldest entries beyond its own limit, and beyond what all may hold, and gives back what it held', () => {
    const budget = { left: 8 };
    const one = new EntryWindow(0, 0, 4, budget);
    fill(one, 0, 1, 2);
    expect([one.from, offsets(one, -1)]).to.deep.equal([1, [1, 2]]);
    const other = new EntryWindow(0, 0, 100, budget);
    fill(other, 3, 4, 5);
    expect([other.from, offsets(other, -1)]).to.deep.equal([4, [4, 5]]);
    one.restart(6);
    other.restart(6);
    expect(budget.left).to.equal(8);
  });

  it('takes in older entries, the newest of them when not all fit', () => {
    const window = new EntryWindow(10, 100, 8, { left: 100 });
    fill(window, 10);
    window.prepend(7, 65, [entry(7, 2), entry(8, 2)]);
    expect([window.from, window.timeOf(6), offsets(window, -1)]).to.deep.equal([7, 65, [7, 8, 10]]);
    window.prepend(1, 5, [entry(1, 1), entry(3, 1), entry(4, 1)]);
    expect([window.from, window.timeOf(1), offsets(window, -1)]).to.deep.equal([2, 10, [3, 4, 7, 8, 10]]);
  });

  it('forgets thousands of old entries for good', () => {
    const window = new EntryWindow(0, 0, 10, { left: 100 });
    for (let offset = 0; offset < 5_000; offset++) fill(window, offset);
    expect(offsets(window, -1)).to.deep.equal([4995, 4996, 4997, 4998, 4999]);
  });
});

describe('a socket that reads slowly', () => {
  it('gets longer ticks while it does not keep up, and shorter ones when it does, until it is fast again', () => {
    const slow = new Slowness(0, 0);
    expect(slow.isDue(0, 499)).to.equal(false);
    expect(slow.isDue(100_000, 500)).to.equal(false);
    expect(slow.isDue(100, 500)).to.equal(true);
    expect(slow.served(500)).to.equal('changed');
    expect(slow.served(2_000)).to.equal('changed');
    expect(slow.tickMs).to.equal(1_000);
    let now = 2_000;
    for (let i = 0; i < 10; i++) {
      now += 100_000;
      slow.served(now);
    }
    expect(slow.tickMs).to.equal(4_000);
    expect(slow.rowMs(now + 3_000)).to.equal(5_000);
    const paces: string[] = [];
    while (paces.at(-1) !== 'fast') {
      now += slow.tickMs;
      paces.push(slow.served(now));
    }
    expect(paces.filter((pace) => pace === 'changed')).to.have.length(3);
  });

  it('needs longer to be fast again each time it fell back', () => {
    const ticksUntilFast = (relapses: number) => {
      const slow = new Slowness(relapses, 0);
      let ticks = 1;
      while (slow.served(ticks * 500) !== 'fast') ticks++;
      return ticks;
    };
    expect(ticksUntilFast(1)).to.be.greaterThan(ticksUntilFast(0));
    expect(ticksUntilFast(50)).to.equal(64);
  });
});

describe('a sensor’s clock', () => {
  it('is off by what it claims less than when it came, unless that was kept back', () => {
    expect(clockSkew({ ts: 5_000, received: 9_000 })).to.equal(-4_000);
    expect(clockSkew({ ts: 9_000, received: 9_000, deviceTs: 1_000_000 })).to.equal(991_000);
    expect(clockSkew({ ts: 5_000, received: 9_000, backfill: true })).to.equal(undefined);
    expect(clockSkew({ ts: 0, received: 4_000_000 })).to.equal(undefined);
  });

  it('is shown to two digits and not at all below five seconds', () => {
    const shown = (skewMs: number) => statusOf({ state: 'online', since: 0 }, { skewMs, values: new Map() }, 0).skewMs;
    expect([4_999, -4_999, -123_456, 7_777].map(shown)).to.deep.equal([0, 0, -120_000, 7_800]);
  });

  it('is judged by the newest of what came at once', () => {
    const latest = new FarmLatest({ left: 10 });
    for (const ts of [100, 900, 500]) latest.take({ ...of('s', ts, { m: 1 }), received: 1_000 });
    expect(latest.sensors.get('s')?.skewMs).to.equal(-100);
    latest.take({ ...of('s', 1, { m: 1 }), received: 2_000, backfill: true });
    expect(latest.sensors.get('s')).to.include({ skewMs: -100, lastSeen: 2_000 });
  });
});

describe('the newest values of a farm', () => {
  it('are the latest by time of measurement, and of two with the same time the one received later', () => {
    const latest = new FarmLatest({ left: 10 });
    latest.put({ sensor: 's', ts: 20, received: 100 }, 'm', 2);
    latest.put({ sensor: 's', ts: 10, received: 200 }, 'm', 1);
    expect(latest.sensors.get('s')?.values.get('m')?.value).to.equal(2);
    expect(latest.sensors.get('s')?.lastSeen).to.equal(200);
    latest.put({ sensor: 's', ts: 20, received: 150 }, 'm', 3);
    latest.put({ sensor: 's', ts: 20, received: 120 }, 'm', 4);
    expect(latest.sensors.get('s')?.values.get('m')?.value).to.equal(3);
  });

  it('are told apart within a millisecond, and when the sensor was last seen is a whole one', () => {
    const latest = new FarmLatest({ left: 10 });
    for (const ts of [20.5, 20.999, 20.001]) latest.put({ sensor: 's', ts, received: ts }, 'm', ts);
    expect(latest.sensors.get('s')?.values.get('m')?.value).to.equal(20.999);
    expect(latest.sensors.get('s')).to.include({ lastSeen: 20, skewMs: 0 });
    latest.put({ sensor: 's', ts: 21.25, received: 21.25 }, 'm', 1);
    expect(latest.sensors.get('s')?.lastSeen).to.equal(21);
  });

  it('of a time to come are not of now, and a receipt of then makes nobody online', () => {
    const now = 1_000_000_000;
    const latest = new FarmLatest({ left: 10 }, () => now);
    const ahead = now + 30 * 86_400_000;
    latest.take({ ...of('s', ahead, { m: 7 }), received: ahead });
    expect([...latest.valuesNow('s')]).to.deep.equal([]);
    expect(latest.shows({ ts: ahead })).to.equal(false);
    expect(latest.sensors.get('s')).to.include({ lastSeen: undefined });
    latest.take({ ...of('s', ahead, { n: 8 }), received: now - 5 });
    latest.take(of('s', now + 60_000, { m: 1 }));
    expect([...latest.valuesNow('s')].map(([metric, { value }]) => [metric, value])).to.deep.equal([['m', 1]]);
    expect(latest.sensors.get('s')).to.include({ lastSeen: now + 60_000 });
    expect([...latest.valuesNow('nobody')]).to.deep.equal([]);
  });

  it('stay within their budget and give it back', () => {
    const budget = { left: 1 };
    const latest = new FarmLatest(budget);
    expect(latest.put({ sensor: 's', ts: 1, received: 1 }, 'm', 1)).to.equal(true);
    expect(latest.put({ sensor: 's', ts: 1, received: 1 }, 'n', 1)).to.equal(false);
    expect(latest.put({ sensor: 's', ts: 2, received: 2 }, 'm', 2)).to.equal(true);
    latest.release();
    expect(budget.left).to.equal(1);
  });
});

describe('what a gateway remembers', () => {
  it('is the last ids only, and the same entry read again is no second batch', () => {
    const seen = new SeenIds(2);
    const answers = [...'abacab'].map((id, offset) => seen.isNews(id, offset));
    expect(answers).to.deep.equal([true, true, false, true, true, true]);
    expect(seen.isNews('a', 4)).to.equal(true);
  });
});

describe('the pace of ticks', () => {
  it('slows down under load to its limit and comes back', () => {
    const pace = new TickPace();
    expect(pace.tickMs).to.equal(SHORTEST_TICK_MS);
    for (let i = 0; i < 10; i++) {
      pace.worked(80);
      pace.ended();
    }
    expect(pace.tickMs).to.equal(LONGEST_TICK_MS);
    for (let i = 0; i < 10; i++) pace.ended();
    expect(pace.tickMs).to.equal(SHORTEST_TICK_MS);
  });
});

describe('a client’s message', () => {
  it('is taken when it is one', () => {
    const subscribe = { type: 'subscribe', id: 1, farm: 'north', fields: ['f1'], since: { epoch: 'e', seq: 4 } };
    expect(parseMessage(JSON.stringify(subscribe))).to.deep.equal({ message: subscribe });
  });

  it('is refused otherwise, with its id when it has one', () => {
    for (const text of ['', '[]', 'null', '{"type":"subscribe"}', '{"type":"x","id":-1}']) {
      expect(parseMessage(text), text).to.include({ id: null });
    }
    expect(parseMessage('{"type":"subscribe","id":4,"farm":"a/b"}')).to.include({ id: 4 });
  });

  it('comes at a bounded rate', () => {
    const rate = new TokenBucket({ perSecond: 1, burst: 2 }, 0);
    expect([0, 0, 0, 1000, 1000].map((now) => rate.tryTake(now))).to.deep.equal([true, true, false, true, false]);
  });
});
