import { expect } from 'chai';
import type { SensorView } from '../../client/latest.ts';
import type { SensorRefusal } from '../../dashboard/api/events.ts';
import { inUnits, systemOf } from '../../dashboard/format/units.ts';
import { labelPlace, middleOf, type Point, projectionOf, scaleOf } from '../../dashboard/plan/project.ts';
import { Board } from '../../dashboard/state/board.ts';
import { countedOf, type Finding, findingsOf, worstOf } from '../../dashboard/state/findings.ts';

const now = 1_000_000;
const condition = {
  skewMs: undefined,
  clock: undefined,
  refused: undefined,
  battery: undefined,
  signal: undefined,
  firmware: undefined,
};
const metric = { id: 'm', label: 'M', unit: '%', min: 20, max: 40, decimals: 1 };

function judge(
  values: [string, [number, number]][],
  over: Partial<SensorView> = {},
  bridge = false,
  refusal?: SensorRefusal,
) {
  const view: SensorView = {
    ...{ id: 's1', field: 'f1', name: 'Row 3', state: 'online', since: undefined, lastSeen: now, condition },
    values: new Map(values),
    ...over,
  };
  const found = findingsOf({ view, intervalMs: 1000, bridge, now, metricOf: (id) => ({ ...metric, id }), refusal });
  return found.map(({ words, more }) => (more === undefined ? words : `${words}: ${more}`));
}

describe('web: what is wrong with a sensor', () => {
  it('is nothing when all is in range and fresh', () => {
    expect(judge([['soil_moisture', [now, 30]]])).to.deep.equal([]);
  });

  it('is told in the words of the metric', () => {
    expect(judge([['soil_moisture', [now, 10]]])).to.deep.equal(['Too dry']);
    expect(judge([['soil_moisture', [now, 50]]])).to.deep.equal(['Too wet']);
    expect(judge([['air_temperature', [now, 50]]])).to.deep.equal(['Too hot']);
    expect(judge([['battery', [now, 3]]])).to.deep.equal(['Battery low']);
    expect(judge([['ec', [now, 50]]])).to.deep.equal(['Too high']);
  });

  it('is the silence, not the value, when the value is old', () => {
    expect(judge([['soil_moisture', [now - 2001, 10]]])).to.deep.equal(['Late']);
    expect(judge([['soil_moisture', [now - 9000, 10]]], { state: 'offline' })).to.deep.equal(['Offline']);
  });

  it('is a clock that is wrong, with its size, as long as nothing makes up for it', () => {
    const of = (clock: SensorView['condition']['clock']) =>
      judge([['soil_moisture', [now, 30]]], { condition: { ...condition, clock } });
    const byMs = (3 * 60 + 2) * 60_000;
    expect(of({ is: 'ahead', byMs, propose: { offset: -10_920 } })).to.deep.equal([
      'Wrong clock: its clock is 3 h 02 min ahead: its readings are set aside',
    ]);
    expect(of({ is: 'behind', byMs, propose: { offset: 10_920 } })).to.deep.equal([
      'Wrong clock: its clock is 3 h 02 min behind',
    ]);
    expect(of({ is: 'jumps-back', byMs, propose: 'receipt' })[0]).to.match(/^Wrong clock: its clock jumped back/);
    expect(of({ is: 'ahead', byMs, propose: undefined })).to.deep.equal([]);
    expect(of({ is: 'right', byMs: undefined, propose: undefined })).to.deep.equal([]);
  });

  it('is its clock, and never that it never reported, from the first reading that was set aside', () => {
    const clock = { is: 'ahead', byMs: 3 * 3_600_000, propose: undefined } as const;
    const words = ['Wrong clock: its clock is 3 h 00 min ahead: its readings are set aside'];
    const of = (over: Partial<SensorView>, values: [string, [number, number]][] = []) =>
      judge(values, { condition: { ...condition, clock }, ...over });
    expect(of({})).to.deep.equal(words);
    expect(of({ state: 'never', lastSeen: undefined })).to.deep.equal(words);
    expect(of({}, [['soil_moisture', [now - 90_000, 10]]])).to.deep.equal(words);
    expect(of({ state: 'offline' })).to.deep.equal(['Offline', ...words]);
    // Its readings come: something makes up for it.
    expect(of({}, [['soil_moisture', [now, 30]]])).to.deep.equal([]);
  });

  it('is not told by a value dated ahead of now', () => {
    expect(judge([['soil_moisture', [now + 30 * 86_400_000, 10]]])).to.deep.equal(['Late']);
    expect(judge([['soil_moisture', [now + 60_000, 10]]])).to.deep.equal(['Too dry']);
  });

  it('is that it was refused, with address and reason, when it was not heard since', () => {
    const refused = {
      ...{ id: 'e', at: now - 1_000, kind: 'mqtt_refused', who: 's1', from: '10.0.0.7', farm: 'f', sensor: 's1' },
      ...{ why: 'wrong_password', what: undefined, count: 1, values: undefined, change: undefined },
    };
    const refusal: SensorRefusal = { refused, certain: true, takenOver: undefined, lastSeen: undefined };
    const words = ['Refused: from 10.0.0.7: wrong password'];
    const heard = (lastSeen: number | undefined, state: SensorView['state'], bridge = false, at = refused.at) =>
      judge([], { lastSeen, state }, bridge, { ...refusal, refused: { ...refused, at } });
    expect(heard(undefined, 'never')).to.deep.equal(words);
    expect(heard(now - 2_000, 'offline')).to.deep.equal(words);
    expect(heard(now - 500, 'online')).to.deep.equal([]);
    expect(judge([], { lastSeen: undefined, state: 'online' }, false, { ...refusal, lastSeen: now })).to.deep.equal([]);
    expect(heard(undefined, 'never', true)).to.deep.equal(words);
    expect(heard(undefined, 'never', true, now - 16 * 60_000)).to.deep.equal([]);
    expect(heard(undefined, 'never', false, now - 8 * 86_400_000)).to.deep.equal(['Never reported']);
  });

  it('names the worst first', () => {
    const values: [string, [number, number]][] = [
      ['air_temperature', [now, 10]],
      ['soil_moisture', [now, 10]],
    ];
    expect(judge(values, { state: 'late' })).to.deep.equal(['Too dry', 'Too cold', 'Late']);
  });

  it('is never having reported, except for a bridge', () => {
    expect(judge([], { state: 'never' })).to.deep.equal(['Never reported']);
    expect(judge([], { state: 'never' }, true)).to.deep.equal([]);
  });

  it('of a sensor that never reported says nothing of its field, as long as others do', () => {
    const finding = (sensor: string, kind: Finding['kind']): Finding => ({
      ...{ sensor, kind, words: kind, tone: 'none', metric: undefined, value: undefined, lastSeen: undefined },
    });
    const [never, late] = [finding('s1', 'never'), finding('s2', 'late')];
    expect(countedOf([[never], [late]])).to.deep.equal([late]);
    expect(countedOf([[never], []])).to.deep.equal([]);
    expect(countedOf([[never]])).to.deep.equal([never]);
  });

  it('ranks dry before wet before offline before late', () => {
    expect(worstOf(['late', 'offline', 'wet', 'dry'])).to.equal('dry');
    expect(worstOf(['fine', 'late'])).to.equal('late');
    expect(worstOf([])).to.equal('none');
  });
});

describe('web: a board of signals', () => {
  it('wakes only whom a change concerns, and empties what is not named any more', () => {
    const board = new Board('none');
    const woken: string[] = [];
    const end = board.get('a').subscribe((value) => woken.push(value));
    board.setAll(
      new Map([
        ['a', 'dry'],
        ['b', 'dry'],
      ]),
    );
    board.setAll(
      new Map([
        ['a', 'dry'],
        ['b', 'wet'],
      ]),
    );
    board.setAll(new Map());
    end();
    expect(woken).to.deep.equal(['none', 'dry', 'none']);
  });
});

describe('web: units', () => {
  it('of the United States are shown with their range, where the unit has a counterpart', () => {
    const shown = inUnits({ unit: '°C', decimals: 1, min: 0, max: 40 }, 'imperial');
    expect([shown.unit, shown.min, shown.max, shown.of(20)]).to.deep.equal(['°F', 32, 104, 68]);
    expect(inUnits({ unit: 'mm', decimals: 1, min: undefined, max: undefined }, 'imperial')).to.include({
      unit: 'in',
      decimals: 2,
    });
    expect(inUnits({ unit: '%', decimals: 1, min: 20, max: 45 }, 'imperial').of(31.2)).to.equal(31.2);
  });

  it('follow the reader’s region', () => {
    expect(systemOf('en-US')).to.equal('imperial');
    for (const locale of ['en-GB', 'de', 'en', undefined, 'not a locale']) expect(systemOf(locale)).to.equal('metric');
  });
});

describe('web: the plan', () => {
  it('is to scale: a degree of longitude is shorter than one of latitude', () => {
    const plan = projectionOf(
      [
        [60, 10],
        [60.01, 10.01],
      ],
      0,
    );
    expect(plan?.height).to.be.closeTo(1113, 2);
    expect(plan?.width).to.be.closeTo(1113 / 2, 2);
    const [x, y] = plan?.place([60.01, 10]) ?? [];
    expect([x, y].every((at) => Math.abs(at ?? 9) < 1)).to.equal(true);
  });

  it('holds a farm across the 180th meridian together', () => {
    expect(
      projectionOf(
        [
          [0, 179.999],
          [0, -179.999],
        ],
        0,
      )?.width,
    ).to.be.closeTo(223, 2);
  });

  it('of nothing is none, of one place is a plan around it', () => {
    expect(projectionOf([])).to.equal(undefined);
    expect(projectionOf([[52, 13]])?.width).to.be.above(50);
  });

  const square: Point[] = [
    [0, 0],
    [100, 0],
    [100, 100],
    [0, 100],
  ];

  it('puts a name into the middle of its field, or where no sensor is in its way', () => {
    expect(middleOf(square)).to.deep.equal([50, 50]);
    const half: Point = [30, 10];
    const dots: Point[] = [
      [50, 50],
      [20, 20],
      [80, 80],
    ];
    const [x, y] = labelPlace(square, dots, { half, dot: 4 });
    for (const [dx, dy] of dots)
      expect(Math.abs(dx - x) >= half[0] + 4 || Math.abs(dy - y) >= half[1] + 4).to.equal(true);
    expect(x).to.be.within(30, 70);
    expect(y).to.be.within(10, 90);
  });

  it('has a scale of a round length in the reader’s units', () => {
    const texts = (system: 'metric' | 'imperial') =>
      [4_000, 999, 230, 1.5].map((longest) => scaleOf(longest, system)).map(({ count, unit }) => `${count} ${unit}`);
    expect(texts('metric')).to.deep.equal(['2 km', '500 m', '200 m', '1 m']);
    expect(texts('imperial')).to.deep.equal(['2 mi', '2000 ft', '500 ft', '2 ft']);
    expect(scaleOf(230, 'imperial').metres).to.be.closeTo(152.4, 0.001);
  });
});
