import { expect } from 'chai';
import { TickFold } from '../../dashboard-gateway/live/fold.ts';
import { FarmLatest } from '../../dashboard-gateway/live/latest.ts';
import { MessageRate } from '../../dashboard-gateway/live/message-rate.ts';
import { LONGEST_TICK_MS, Pace, SHORTEST_TICK_MS } from '../../dashboard-gateway/live/pace.ts';
import { parseMessage } from '../../dashboard-gateway/live/protocol.ts';
import { RecentReadings } from '../../dashboard-gateway/live/recent.ts';
import { SeenIds } from '../../dashboard-gateway/live/seen-ids.ts';
import { standing } from '../../dashboard-gateway/sensor-state.ts';

describe('a sensor’s state', () => {
  const MINUTE = 60_000;
  it('is online below 2 intervals, late below 5, offline from then on, and never without a reading', () => {
    expect(standing(1000, MINUTE, 1000 + 2 * MINUTE - 1)).to.deep.equal({ state: 'online', since: 1000 });
    expect(standing(1000, MINUTE, 1000 + 2 * MINUTE)).to.deep.equal({ state: 'late', since: 1000 + 2 * MINUTE });
    expect(standing(1000, MINUTE, 1000 + 5 * MINUTE - 1).state).to.equal('late');
    expect(standing(1000, MINUTE, 1000 + 5 * MINUTE)).to.deep.equal({ state: 'offline', since: 1000 + 5 * MINUTE });
    expect(standing(undefined, MINUTE, 0)).to.deep.equal({ state: 'never', since: 0 });
  });
});

describe('the fold of a tick', () => {
  it('keeps last by time, min, max, mean and count within a second, by field', () => {
    const fold = new TickFold();
    fold.add('f1', 's1', 'm', 1500, 4);
    fold.add('f1', 's1', 'm', 1200, 1);
    fold.add('f2', 's2', 'm', 1200, 9);
    expect([...fold.fields()]).to.deep.equal([
      ['f1', [['s1', 'm', 1500, 4, 1, 4, 2.5, 2]]],
      ['f2', [['s2', 'm', 1200, 9]]],
    ]);
    fold.clear();
    expect([...fold.fields()]).to.deep.equal([]);
  });

  it('keeps the points of a backfill apart', () => {
    const fold = new TickFold();
    for (const ts of [1000, 61_000, 121_000]) fold.add('f1', 's1', 'm', ts, ts);
    expect(fold.rowCount).to.equal(3);
  });
});

describe('the newest values of a farm', () => {
  it('are the latest by time of measurement, and of two with the same time the one received later', () => {
    const latest = new FarmLatest({ left: 10 });
    latest.put('s', 'm', 20, 2, 100);
    latest.put('s', 'm', 10, 1, 200);
    expect(latest.sensors.get('s')?.values.get('m')?.value).to.equal(2);
    expect(latest.sensors.get('s')?.lastSeen).to.equal(200);
    latest.put('s', 'm', 20, 3, 150);
    latest.put('s', 'm', 20, 4, 120);
    expect(latest.sensors.get('s')?.values.get('m')?.value).to.equal(3);
  });

  it('stay within their budget and give it back', () => {
    const budget = { left: 1 };
    const latest = new FarmLatest(budget);
    expect(latest.put('s', 'm', 1, 1, 1)).to.equal(true);
    expect(latest.put('s', 'n', 1, 1, 1)).to.equal(false);
    expect(latest.put('s', 'm', 2, 2, 2)).to.equal(true);
    latest.release();
    expect(budget.left).to.equal(1);
  });
});

describe('what a gateway remembers', () => {
  it('is the last ids only', () => {
    const seen = new SeenIds(2);
    expect(['a', 'b', 'a', 'c', 'a'].map((id) => seen.add(id))).to.deep.equal([true, true, false, true, true]);
  });

  it('is the last readings only', () => {
    const recent = new RecentReadings(5);
    for (let ts = 0; ts < 5000; ts++)
      recent.add([{ farm: ts % 2 ? 'a' : 'b', sensor: 's', ts, received: ts, values: { m: 1 } }]);
    expect([...recent.of('a')].map((r) => r.ts)).to.deep.equal([4995, 4997, 4999]);
  });
});

describe('the pace of ticks', () => {
  it('slows down under load to its limit and comes back', () => {
    const pace = new Pace();
    expect(pace.tickMs).to.equal(SHORTEST_TICK_MS);
    for (let i = 0; i < 10; i++) {
      pace.worked(80);
      pace.ended(5);
    }
    expect(pace.tickMs).to.equal(LONGEST_TICK_MS);
    for (let i = 0; i < 10; i++) pace.ended(0);
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
    const rate = new MessageRate(2, 1, 0);
    expect([0, 0, 0, 1000, 1000].map((now) => rate.take(now))).to.deep.equal([true, true, false, true, false]);
  });
});
