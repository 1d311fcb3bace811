import { expect } from 'chai';
import { Latest } from '../../client/latest.ts';
import { parseServerMessage, type ServerMessage } from '../../client/messages.ts';
import { Unexpected } from '../../client/shape-checks.ts';
import { readFarms, readHistory, readMe, readSensors } from '../../dashboard/api/shapes.ts';

const parse = (message: unknown) => parseServerMessage(JSON.stringify(message));

function news(message: unknown): Extract<ServerMessage, { type: 'snapshot' | 'readings' | 'status' }> {
  const parsed = parse(message);
  if (parsed?.type === 'snapshot' || parsed?.type === 'readings' || parsed?.type === 'status') return parsed;
  throw new Error('not news');
}

const snapshot = (sensors: unknown[]) => ({ type: 'snapshot', id: 1, epoch: 'e', seq: 1, sensors });
const s1 = { sensor: 's1', field: 'f1', name: 'Row 3', state: 'online', lastSeen: 100, values: { ec: [100, 1.5] } };
const readings = (...rows: unknown[]) => ({ type: 'readings', farm: 'north', field: 'f1', rows });

describe('web: messages of the server', () => {
  it('are read: a short row stands for one value, a long one for several', () => {
    const message = parse(readings(['s1', 'ec', 5, 1.5], ['s1', 'ec', 6, 2, 1, 3, 2, 4]));
    expect(message).to.deep.include({ farm: 'north', field: 'f1' });
    expect(message).to.have.deep.nested.property('rows[0]', {
      ...{ sensor: 's1', metric: 'ec', ts: 5, last: 1.5 },
      ...{ min: 1.5, max: 1.5, mean: 1.5, count: 1 },
    });
    expect(message).to.have.nested.property('rows[1].count', 4);
  });

  it('of an unknown type are passed over, so that a newer server may say more', () => {
    expect(parse({ type: 'weather' })).to.equal(undefined);
  });

  it('may leave out, or give as null, what not every sensor has', () => {
    const never = { sensor: 's2', state: 'never', lastSeen: null, values: {} };
    expect(parse(snapshot([never]))).to.have.nested.property('sensors[0].lastSeen', undefined);
    expect(parse({ type: 'error', id: null, code: 'bad-message' })).to.include({ code: 'bad-message', id: undefined });
  });

  const broken: [string, unknown][] = [
    ['no object', [1]],
    ['a text as sequence number', { type: 'tick', farm: 'north', seq: '1' }],
    ['an unknown state', { type: 'status', sensor: 's1', state: 'asleep' }],
    ['a row without a value', readings(['s1', 'ec', 5])],
    ['a row of null', readings(['s1', 'ec', 5, null])],
    ['a long row with a hole', readings(['s1', 'ec', 5, 1, null, 1, 1, 2])],
    ['a snapshot value that is no pair', snapshot([{ ...s1, values: { ec: 3 } }])],
  ];
  for (const [what, message] of broken) {
    it(`are refused: ${what}`, () => expect(() => parse(message)).to.throw(Unexpected));
  }

  it('are refused when they are not JSON', () => {
    expect(() => parseServerMessage('{"type":')).to.throw(Unexpected);
  });
});

describe('web: answers of the gateway', () => {
  it('are read as the protocol describes them', () => {
    const farm = { id: 'n', name: 'North', timezone: 'UTC', role: 'viewer', fields: [{ id: 'f1', name: 'Hill' }] };
    const metric = { id: 'ec', label: 'EC', unit: '', decimals: 1 };
    expect(readFarms({ farms: [farm], metrics: [metric] }).farms[0]?.fields[0]?.name).to.equal('Hill');
    expect(readMe({ user: 'ada', farms: [{ id: 'n', role: 'admin' }], passwordSet: false }).passwordSet).to.equal(
      false,
    );
    const sensor = { id: 's1', field: 'f1', name: 's1', interval: 600, role: 'sensor', state: 'never', lastSeen: null };
    expect(readSensors({ sensors: [sensor] })[0]?.lastSeen).to.equal(undefined);
    expect(readHistory({ bucketMs: 1000, unit: '%', rows: [[1, 2, 3, 4, 5, 6]] }).rows[0]?.[5]).to.equal(6);
  });

  it('are refused when they are something else', () => {
    expect(() => readHistory({ bucketMs: 1000, rows: [[1, 2, 3]] })).to.throw(Unexpected);
    expect(() => readMe('<html>')).to.throw(Unexpected);
  });
});

describe('web: the latest values', () => {
  it('never go back in time, but an equal time is a correction', () => {
    const latest = new Latest();
    latest.apply(news(snapshot([s1])));
    latest.apply(news(readings(['s1', 'ec', 90, 9])));
    expect(latest.get('s1')?.values.get('ec')).to.deep.equal([100, 1.5]);
    latest.apply(news(readings(['s1', 'ec', 100, 7])));
    expect(latest.get('s1')?.values.get('ec')).to.deep.equal([100, 7]);
    latest.apply(news(readings(['s1', 'ec', 120, 2], ['s1', 'ec', 110, 3])));
    expect(latest.get('s1')?.values.get('ec')).to.deep.equal([120, 2]);
  });

  it('are never of a time to come, and of none that was when a clock is right again', () => {
    const minute = 60_000;
    let now = 1_000 * minute;
    const latest = new Latest(() => now);
    const shown = () => latest.get('s1')?.values.get('ec');
    latest.apply(news(readings(['s1', 'ec', now + 4 * minute, 1])));
    latest.apply(news(readings(['s1', 'ec', now + 6 * minute, 2])));
    expect(shown()).to.deep.equal([now + 4 * minute, 1]);
    now -= 100 * minute;
    latest.apply(news(readings(['s1', 'ec', now, 3])));
    expect(shown()).to.deep.equal([now, 3]);
  });

  it('are not taken back by a snapshot that is older than a reading', () => {
    const latest = new Latest();
    latest.apply(news(readings(['s1', 'ec', 120, 2])));
    latest.apply(news(snapshot([s1])));
    expect(latest.get('s1')?.values.get('ec')).to.deep.equal([120, 2]);
    expect(latest.get('s1')?.name).to.equal('Row 3');
  });

  it('lose the sensors that a snapshot does not name any more', () => {
    const latest = new Latest();
    latest.apply(news(snapshot([s1])));
    expect([...latest.apply(news(snapshot([])))]).to.deep.equal(['s1']);
    expect(latest.ids).to.deep.equal([]);
  });

  it('take in a sensor that speaks before any list named it', () => {
    const latest = new Latest();
    latest.apply(news(readings(['new', 'ec', 1, 2])));
    expect(latest.get('new')).to.include({ name: 'new', field: 'f1', state: 'online' });
  });

  it("keep a sensor's values when only its state changes", () => {
    const latest = new Latest();
    latest.apply(news(snapshot([s1])));
    latest.apply(news({ type: 'status', farm: 'north', sensor: 's1', state: 'offline', since: 5 }));
    expect(latest.get('s1')).to.include({ state: 'offline', since: 5 });
    expect(latest.get('s1')?.values.size).to.equal(1);
  });

  it('hold at most 64 metrics a sensor and count what they leave out', () => {
    const latest = new Latest();
    const rows = Array.from({ length: 70 }, (_, i) => ['s1', `m${i}`, 1, i]);
    latest.apply(news(readings(...rows)));
    expect(latest.get('s1')?.values.size).to.equal(64);
    expect(latest.ignored).to.equal(6);
  });
});
