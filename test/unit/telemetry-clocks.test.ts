import { expect } from 'chai';
import fc from 'fast-check';
import { offsetsOf } from '../../telemetry/calendar.ts';
import { CLOCK_FLOOR, type ClockPolicy, clockRule, MAX_AHEAD_MS, readTimes } from '../../telemetry/clock.ts';
import type { Decoded } from '../../telemetry/formats/decoded.ts';
import { localTimes } from '../../telemetry/local-time.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import { Rulebook, type SensorRules } from '../../telemetry/sensor-rules.ts';
import type { Via } from '../../telemetry/via.ts';
import { shortOrLong } from '../services/length.ts';
import { decode, RECEIVED, rules, type TOPICS } from './telemetry-payloads.ts';

const MINUTE = 60_000;
const HOUR = 3_600_000;
const RUNS = { numRuns: shortOrLong(60, 3_000) };

/** The times of readings, ms after the receipt, by the value of their `ec`. */
function timesOf({ readings }: Decoded, received = RECEIVED): Record<string, number> {
  return Object.fromEntries(readings.map(({ ts, values }) => [values.ec, Math.floor(ts) - Math.floor(received)]));
}

function reasonsOf({ refused }: Decoded): string[] {
  return refused.map(({ reason }) => reason);
}

describe('whose clock counts', () => {
  const FARMS = (farm: string, bridge: string, source: string, sensor: string) =>
    parseRegistry(`
farms: [{ id: north, name: North, timezone: Europe/Berlin${farm} }]
sensors: [{ id: s1, farm: north${sensor} }, { id: b1, farm: north, role: bridge${bridge} }]
sources: [{ id: q1, farm: north, url: 'mqtt://127.0.0.1:1', topics: ['#']${source} }]
`);
  const said = (policy: ClockPolicy | undefined) =>
    policy === undefined ? '' : `, clock: ${typeof policy === 'object' ? `{ offset: ${policy.offset} }` : policy}`;

  it('is said by the sensor, else by the bridge or source that it comes through, else by the farm', () => {
    const policies: (ClockPolicy | undefined)[] = [undefined, 'device', 'receipt', { offset: -5 }];
    for (const own of policies) {
      for (const via of policies) {
        for (const farm of policies) {
          const registry = FARMS(said(farm), said(via), said(via), said(own));
          const book = new Rulebook();
          const ways: (Via | undefined)[] = [undefined, { kind: 'bridge', id: 'b1' }, { kind: 'source', id: 'q1' }];
          for (const way of [...ways, ...ways]) {
            const expected = clockRule({ own, via: way && via, farm, ownFloor: undefined });
            const { clock } = book.of('north', 's1', registry, way);
            expect(clock, JSON.stringify({ own, via, farm, way })).to.deep.equal(expected);
            expect(clock.by).to.equal((own ?? (way && via) ?? farm) === 'receipt' ? 'receipt' : 'device');
          }
        }
      }
    }
  });

  it('is not that of a bridge of another farm, nor of a source that is no more', () => {
    const registry = FARMS('', ', clock: receipt', ', clock: receipt', '');
    const book = new Rulebook();
    const by = (via: Via) => book.of('north', 's1', registry, via).clock.by;
    expect([by({ kind: 'bridge', id: 'b1' }), by({ kind: 'source', id: 'q1' })]).to.deep.equal(['receipt', 'receipt']);
    expect([by({ kind: 'bridge', id: 'q1' }), by({ kind: 'source', id: 'b1' })]).to.deep.equal(['device', 'device']);
    expect(book.of('south', 's1', registry, { kind: 'bridge', id: 'b1' }).clock.by).to.equal('device');
  });

  it('holds for sensors of the farm that nobody registered', () => {
    const registry = FARMS(', clock: receipt', '', '', '');
    expect(new Rulebook().of('north', 'stranger', registry).clock.by).to.equal('receipt');
  });

  it('does not make two sensors of one: its metrics stay counted together', () => {
    const registry = FARMS('', ', clock: receipt', '', '');
    const book = new Rulebook();
    const through = book.of('north', 's1', registry, { kind: 'bridge', id: 'b1' });
    for (let i = 0; i < 64; i++) through.ruleOf(`m${i}`);
    expect(book.of('north', 's1', registry).ruleOf('one_more')).to.equal('too_many_names');
  });

  it('is read from registries of before, and refused where it is none', () => {
    for (const clock of ['device', 'receipt', '{ offset: -10800 }', '{ offset: 0.5 }']) rules(`clock: ${clock}`);
    for (const wrong of ['now', '{ offset: fast }', '{ offset: 1, by: 2 }', '{}', '{ ahead: 5 }', '{ offset: 1e12 }']) {
      expect(() => rules(`clock: ${wrong}`), wrong).to.throw();
    }
    for (const wrong of ['soon', '2020-13-01', '1999-12-31', '2021-02-29', '7']) {
      expect(() => rules(`clockFloor: ${wrong}`), wrong).to.throw();
    }
  });
});

describe('an offset', () => {
  const plain = rules();

  it('is added: a clock that is 3 h ahead has one of -10,800 seconds', () => {
    const { readings } = decode('native', { ts: RECEIVED + 3 * HOUR - 5, ec: 1 }, rules('clock: { offset: -10800 }'));
    expect(readings).to.deep.include({
      farm: 'north',
      sensor: 's1',
      received: RECEIVED,
      ts: RECEIVED - 5,
      deviceTs: RECEIVED + 3 * HOUR - 5,
      values: { ec: 1 },
    });
  });

  it('does not touch the time of a payload without one, nor a span before the receipt', () => {
    const by = rules('clock: { offset: -10800 }');
    expect(timesOf(decode('native', { ec: 1 }, by))).to.deep.equal({ 1: 0 });
    const pack = [
      { n: 'ec', v: 1, t: -60 },
      { n: 'ec', v: 2, t: (RECEIVED + 3 * HOUR) / 1000 },
    ];
    expect(timesOf(decode('native', pack, by))).to.deep.equal({ 1: -MINUTE, 2: 0 });
  });

  it('of any size makes up for a clock that is wrong by it, whatever was measured when', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -(10 ** 8), max: 10 ** 8 }),
        fc.uniqueArray(fc.integer({ min: -(10 ** 8), max: MAX_AHEAD_MS }), { minLength: 1, maxLength: 30 }),
        (aheadS, agos) => {
          const lot = agos.map((ago, i) => ({ ts: RECEIVED + ago + aheadS * 1000, ec: i }));
          const clock = clockRule({
            own: { offset: -aheadS },
            via: undefined,
            farm: undefined,
            ownFloor: '2000-01-01',
          });
          const by: SensorRules = {
            ...plain,
            clock,
            ruleOf: (given) => plain.ruleOf(given),
            textOf: () => undefined,
          };
          const { readings, refused } = decode('native', lot, by);
          expect(refused).to.deep.equal([]);
          expect(readings.map(({ ts }) => ts - RECEIVED)).to.deep.equal(agos);
        },
      ),
      RUNS,
    );
  });
});

describe('the clock `receipt`', () => {
  const forms: readonly [
    form: keyof typeof TOPICS,
    make: (lot: readonly (readonly [ts: number, ec: number])[]) => unknown,
  ][] = [
    ['native', (lot) => lot.map(([ts, ec]) => ({ ts, ec }))],
    ['native', (lot) => lot.map(([ts, ec]) => ({ ts, values: { ec } }))],
    ['native', (lot) => lot.map(([ts, ec]) => ({ n: 'ec', v: ec, t: ts / 1000 }))],
    ['thingsboard', (lot) => lot.map(([ts, ec]) => ({ ts, values: { ec } }))],
    ['chirpstack', (lot) => ({ deviceInfo: {}, object: { history: lot.map(([time, ec]) => ({ time, ec })) } })],
  ];

  const byReceipt = rules('clock: receipt');

  it('keeps the spacing that an array’s own times give and ends at its receipt, in every format, order and by any skew', () => {
    for (const [form, make] of forms) {
      fc.assert(
        fc.property(
          // SenML takes times before 1978 for spans before now.
          fc.integer({ min: Date.UTC(1979, 0, 1), max: Date.UTC(2150, 0, 1) }),
          fc.uniqueArray(fc.integer({ min: 0, max: 10 ** 9 }), { minLength: 1, maxLength: 20 }),
          (begin, gaps) => {
            const newest = Math.max(...gaps);
            const lot = gaps.map((gap, i) => [begin + gap, i] as const);
            const decoded = decode(form, make(lot), byReceipt);
            expect(decoded.refused).to.deep.equal([]);
            expect(timesOf(decoded)).to.deep.equal(Object.fromEntries(gaps.map((gap, i) => [i, gap - newest])));
          },
        ),
        RUNS,
      );
    }
  });
});

describe('the floor', () => {
  it('dates what a clock says that was never set by the receipt, with the spacing of its array, and keeps what it said', () => {
    const begin = Date.UTC(2000, 0, 1);
    const lot = [10_000, 70_000, 130_000].map((uptime, ec) => ({ ts: begin + uptime, ec }));
    const { readings, refused } = decode('native', lot);
    expect(refused).to.deep.equal([]);
    expect(readings.map(({ ts, deviceTs }) => [ts - RECEIVED, deviceTs])).to.deep.equal([
      [-120_000, begin + 10_000],
      [-60_000, begin + 70_000],
      [0, begin + 130_000],
    ]);
  });

  it('is the beginning of 2020, or the sensor’s own', () => {
    const at = (ts: number, by?: SensorRules) => decode('native', { ts, ec: 1 }, by).readings[0];
    expect(at(CLOCK_FLOOR)).to.include({ ts: CLOCK_FLOOR });
    expect(at(CLOCK_FLOOR - 1)).to.include({ ts: RECEIVED, deviceTs: CLOCK_FLOOR - 1 });
    const own = Date.UTC(2024, 1, 29);
    const later = rules('clockFloor: 2024-02-29');
    expect([at(own, later)?.ts, at(own - 1, later)?.ts]).to.deep.equal([own, RECEIVED]);
    const earlier = rules('clockFloor: 2000-01-01');
    expect(at(Date.UTC(2005, 0, 1), earlier)?.ts).to.equal(Date.UTC(2005, 0, 1));
  });

  it('is not asked where the registry says `device` outright', () => {
    const old = Date.UTC(2005, 0, 1);
    expect(decode('native', { ts: old, ec: 1 }, rules('clock: device')).readings[0]?.ts).to.equal(old);
    const both = rules('clock: device, clockFloor: 2024-01-01');
    expect(decode('native', { ts: old, ec: 1 }, both).readings[0]?.ts).to.equal(old);
    expect(reasonsOf(decode('native', { ts: 5, ec: 1 }, rules('clock: device')))).to.deep.equal(['bad_time']);
  });

  it('of the sensor itself is nearer than the `device` of its farm', () => {
    const rule = (ownFloor?: string) => clockRule({ own: undefined, via: undefined, farm: 'device', ownFloor });
    expect(rule('2024-01-01').floor).to.equal(Date.UTC(2024, 0, 1));
    expect(rule().floor).to.equal(undefined);
  });

  it('is asked of the corrected time', () => {
    const by = rules(`clock: { offset: ${26 * 365 * 86_400} }`);
    const told = RECEIVED - 26 * 365 * 86_400_000;
    expect(decode('native', { ts: told, ec: 1 }, by).readings[0]).to.include({ ts: RECEIVED, deviceTs: told });
    const early = decode('native', { ts: Date.UTC(1990, 0, 1), ec: 1 }, by).readings[0];
    expect(early?.ts).to.equal(RECEIVED);
  });

  it('leaves the other readings of a payload alone', () => {
    const lot = [
      { ts: 60_000, ec: 1 },
      { ts: RECEIVED - HOUR, ec: 2 },
      { ts: 120_000, ec: 3 },
      { ts: RECEIVED - 1, ec: 4 },
    ];
    expect(timesOf(decode('native', lot))).to.deep.equal({ 1: -MINUTE, 2: -HOUR, 3: 0, 4: -1 });
  });

  it('does not lift the refusal of what is no time at all, nor of what is yet to come', () => {
    for (const wrong of ['noon', null, true, {}, '20260501', Date.UTC(2200, 0, 1)]) {
      expect(reasonsOf(decode('native', { ts: wrong, ec: 1 })), JSON.stringify(wrong)).to.deep.equal(['bad_time']);
    }
    expect(reasonsOf(decode('native', { ts: RECEIVED + HOUR, ec: 1 }))).to.deep.equal(['future_time']);
  });
});

describe('what is refused because it is yet to come', () => {
  it('says how far its clock is ahead, and what was corrected of that', () => {
    const lot = [2 * HOUR, 3 * HOUR, HOUR].map((ahead, ec) => ({ ts: RECEIVED + ahead, ec }));
    expect(decode('native', lot).clock).to.deep.equal({ aheadMs: 3 * HOUR, correctedMs: 0 });
    expect(decode('native', lot, rules('clock: { offset: -3600 }')).clock).to.deep.equal({
      aheadMs: 3 * HOUR,
      correctedMs: -HOUR,
    });
    expect(decode('native', { ts: RECEIVED, ec: 1 }).clock).to.equal(undefined);
  });
});

describe('local times that come twice', () => {
  const text = (local: string) => `2026-10-25T${local}:00`;
  const lotOf = (...locals: string[]) => locals.map((local, i) => ({ ts: text(local), ec: i }));
  const at = (utc: string) => Date.parse(`2026-10-25T${utc}Z`);
  const morning = at('08:00');
  const timesIn = (locals: string[], received = morning) =>
    decode('native', lotOf(...locals), rules(), received).readings.map(({ ts, values }) => [
      values.ec,
      new Date(ts).toISOString().slice(11, 16),
    ]);

  const CASES: readonly [name: string, locals: string[], received: number, expected: (string | undefined)[]][] = [
    ['both hours, to', ['02:10', '02:40', '02:10', '02:40'], morning, ['00:10', '00:40', '01:10', '01:40']],
    ['both hours, fro', ['02:40', '02:10', '02:40', '02:10'], morning, ['01:40', '01:10', '00:40', '00:10']],
    ['every hour', ['01:00', '02:00', '02:00', '03:00'], morning, ['23:00', '00:00', '01:00', '02:00']],
    ['every hour, fro', ['03:00', '02:00', '02:00', '01:00'], morning, ['02:00', '01:00', '00:00', '23:00']],
    ['one hour alone', ['02:10', '02:40'], morning, [undefined, undefined]],
    ['one time alone', ['02:10'], morning, [undefined]],
    ['one time between others', ['01:40', '02:10', '03:10'], morning, ['23:40', undefined, '02:10']],
    ['in no order', ['03:10', '02:10', '01:40', '02:40'], morning, ['02:10', undefined, '23:40', undefined]],
    ['before the second hour', ['02:10', '02:40'], at('00:41'), ['00:10', '00:40']],
    ['just now, the first time', ['02:10'], at('00:10'), ['00:10']],
    ['just now, the second time', ['02:10'], at('01:11'), ['01:10']],
    ['an hour before, or just now', ['02:05', '02:10'], at('01:10'), ['01:05', '01:10']],
    ['no longer ago than half an hour, or not', ['02:10'], at('01:40'), [undefined]],
    ['not in that hour', ['01:59', '03:00'], morning, ['23:59', '02:00']],
  ];

  for (const [name, locals, received, expected] of CASES) {
    it(`are told apart or refused: ${name}`, () => {
      const decoded = decode('native', lotOf(...locals), rules(), received);
      const found = new Map(timesIn(locals, received).map(([i, time]) => [i, time]));
      expect(locals.map((_, i) => found.get(i))).to.deep.equal(expected);
      const refusals = expected.filter((one) => one === undefined).length;
      expect(reasonsOf(decoded)).to.deep.equal(Array.from({ length: refusals }, () => 'ambiguous_time'));
    });
  }

  it('are told apart in arrays of every format that has dates', () => {
    const lot = ['02:10', '02:40', '02:10', '02:40'].map((local, ec) => ({ ts: text(local), values: { ec } }));
    const history = lot.map(({ ts, values }) => ({ time: ts, ...values }));
    const expected = { 0: at('00:10'), 1: at('00:40'), 2: at('01:10'), 3: at('01:40') };
    for (const decoded of [
      decode('native', lot, rules(), morning),
      decode('thingsboard', lot, rules(), morning),
      decode('chirpstack', { deviceInfo: {}, object: { history } }, rules(), morning),
    ]) {
      expect(Object.fromEntries(decoded.readings.map(({ ts, values }) => [values.ec, ts]))).to.deep.equal(expected);
    }
  });

  it('are one time when their readings are of different metrics', () => {
    const lot = [
      { ts: text('01:00'), ec: 1 },
      { ts: text('02:10'), ec: 2 },
      { ts: text('02:10'), soil_moisture: 30 },
      { ts: text('02:40'), ec: 3 },
      { ts: text('02:10'), ec: 4 },
    ];
    const { readings } = decode('native', lot, rules(), morning);
    const begin = Date.parse('2026-10-24T23:00Z');
    const expected = [begin, at('00:10'), at('00:10'), at('00:40'), at('01:10')];
    expect(readings.map(({ ts }) => ts)).to.deep.equal(expected);
  });

  it('refuse nothing where the device’s clock does not count', () => {
    const { readings, refused } = decode('native', lotOf('02:10', '02:40'), rules('clock: receipt'), morning);
    expect(refused).to.deep.equal([]);
    expect(readings.map(({ ts }) => ts - morning)).to.deep.equal([-30 * MINUTE, 0]);
  });

  it('are corrected after they are told apart: the receipt is asked by the clock that told them', () => {
    const by = rules('clock: { offset: 3600 }');
    // Its clock is an hour behind: at 02:10 of the second hour it says 02:10 of the first.
    const { readings } = decode('native', { ts: text('02:10'), ec: 1 }, by, at('01:10'));
    expect(readings[0]?.ts).to.equal(at('01:10'));
  });

  it('of any zone and year, whole nights in order to or fro, are stored at the moments at which they were measured', () => {
    const zones = ['Europe/Berlin', 'America/New_York', 'America/St_Johns', 'Australia/Lord_Howe', 'America/Santiago'];
    fc.assert(
      fc.property(
        fc.constantFrom(...zones),
        fc.integer({ min: 2020, max: 2035 }),
        fc.integer({ min: 1, max: 12 }).map((minutes) => minutes * 5 * MINUTE),
        fc.integer({ min: 0, max: 3 * 12 }).map((steps) => steps * 5 * MINUTE),
        fc.boolean(),
        (zone, year, step, phase, isFro) => {
          for (const change of changesOf(zone, year)) {
            const times: number[] = [];
            for (let time = change - 6 * HOUR + phase; time <= change + 6 * HOUR; time += step) times.push(time);
            if (isFro) times.reverse();
            const written = localTimes(zone);
            const lot = times.map((time, ec) => ({ ts: written(time).slice(0, 19), ec }));
            const farm = parseRegistry(`farms: [{ id: north, name: North, timezone: ${zone} }]`);
            const by = new Rulebook().of('north', 's1', farm);
            const { readings, refused } = decode('native', lot, by, change + 30 * 86_400_000);
            for (const { ts, values } of readings) expect(ts).to.equal(times[values.ec ?? -1]);
            // All are decided when both hours have a reading, as the order shows it; no other is ever refused.
            const twice = lot.filter(({ ts }) => typeof readTimes(ts, zone) === 'object').length;
            expect(refused.length).to.be.at.most(twice);
            for (const { reason } of refused) expect(reason).to.equal('ambiguous_time');
            const back = offsetsOf(zone)(change - 1) - offsetsOf(zone)(change);
            if (step <= back / 2) expect(readings.length, `${zone} ${year}`).to.equal(times.length);
          }
        },
      ),
      { numRuns: shortOrLong(30, 2_000) },
    );
  });
});

/** The moments of a year at which the clocks of a zone change. */
function changesOf(zone: string, year: number): number[] {
  const offset = offsetsOf(zone);
  const found: number[] = [];
  for (let hour = Date.UTC(year, 0, 1); hour < Date.UTC(year + 1, 0, 1); hour += HOUR) {
    if (offset(hour) !== offset(hour - HOUR)) found.push(hour);
  }
  return found;
}
