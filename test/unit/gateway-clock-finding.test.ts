import { expect } from 'chai';
import fc from 'fast-check';
import { type ClockFinding, type ClockSaid, findClock } from '../../dashboard-gateway/live/state/clock-finding.ts';
import { ClockSamples, joined, MOST_SAMPLES, sampleOf } from '../../dashboard-gateway/live/state/clock-samples.ts';
import type { SensorRules } from '../../telemetry/sensor-rules.ts';
import { decode, rules } from './telemetry-payloads.ts';

const MINUTE = 60_000;
const HOUR = 3_600_000;
const BEGIN = Date.UTC(2026, 5, 1, 12);

/** A message: when it was received, and what the device said of when, both ms after `BEGIN`. */
type Message = readonly [at: number, told: number];

/** Behind the millisecond of a receipt is a count. */
const COUNT = 0.123;
/** To make rules takes longer than to read a message by them. */
const known = new Map<string, SensorRules>();

function rulesOf(sensor: string): SensorRules {
  const made = known.get(sensor) ?? rules(sensor);
  known.set(sensor, made);
  return made;
}

/** What is found of a clock from messages that are read as the registry says. */
function found(messages: readonly Message[], sensor = '', said: ClockSaid = {}): ClockFinding | undefined {
  const samples = new ClockSamples();
  for (const [at, told] of messages) {
    const { readings, clock } = decode('native', { ts: BEGIN + told, ec: 1 }, rulesOf(sensor), BEGIN + at + COUNT);
    for (const reading of readings) {
      const sample = sampleOf(reading);
      if (sample) samples.add(sample);
    }
    if (clock) samples.add({ at: BEGIN + at + COUNT, ...clock });
  }
  return findClock(samples.list, said);
}

/** So many messages, one every ten minutes, whose clock is wrong by what `error` says of each. */
function every10(count: number, error: (i: number) => number): Message[] {
  return Array.from({ length: count }, (_, i): Message => [i * 10 * MINUTE, i * 10 * MINUTE + error(i)]);
}

describe('what is found of a clock', () => {
  it('is nothing when no time was told', () => {
    expect(findClock([], {})).to.equal(undefined);
    const { readings } = decode('native', { ec: 1 });
    expect(readings.map(sampleOf)).to.deep.equal([undefined]);
    const pack = decode('native', [{ n: 'ec', v: 1, t: -7_200 }], rules(), BEGIN + 0.123);
    expect(pack.readings.map(sampleOf)).to.deep.equal([undefined]);
  });

  it('is that it is right when a time was told within a minute of its receipt, also beside readings that were kept back', () => {
    expect(found([[0, -2_000]])).to.deep.include({ is: 'right' });
    expect(found([[0, 30_000]])).to.deep.include({ is: 'right' });
    const backlog = Array.from({ length: 5 }, (_, i): Message => [1_000 + i * 50, -5 * HOUR + i * 10 * MINUTE]);
    expect(found([[0, -1_000], ...backlog])).to.deep.include({ is: 'right' });
  });

  it('is how far it is ahead, to the second, though all was refused; with what corrects it once three agree', () => {
    const ahead = 3 * HOUR + 2 * MINUTE + 7_000;
    expect(found(every10(1, () => ahead))).to.deep.equal({ is: 'ahead', byMs: ahead });
    const finding = found(every10(4, () => ahead));
    expect(finding).to.deep.equal({ is: 'ahead', byMs: ahead, propose: { offset: -10_927 } });
    expect(found(every10(4, () => 4 * MINUTE))).to.deep.include({ is: 'ahead', byMs: 4 * MINUTE });
  });

  it('is how far it lags, once four messages told it at the pace of time', () => {
    expect(found(every10(3, () => -3 * HOUR))).to.equal(undefined);
    expect(found(every10(4, () => -3 * HOUR))).to.deep.equal({
      is: 'behind',
      byMs: 3 * HOUR,
      propose: { offset: 10_800 },
    });
  });

  it('is no lag when readings that were kept back come, at any pace, in any order', () => {
    for (const [everyMs, stepMs] of [
      [20, 10 * MINUTE],
      [1_000, 10 * MINUTE],
      [10_000, 10 * MINUTE],
      [50, 1_000],
      [300, 1_000],
    ] as const) {
      const backlog = Array.from({ length: 40 }, (_, i): Message => [i * everyMs, -60 * 10 * MINUTE + i * stepMs]);
      for (let n = 1; n <= backlog.length; n++)
        expect(found(backlog.slice(0, n)), `${everyMs} ${n}`).to.equal(undefined);
      const newestFirst = backlog.map(([at], i): Message => [at, -HOUR - i * stepMs]);
      for (let n = 1; n <= backlog.length; n++) expect(found(newestFirst.slice(0, n)), `${n}`).to.equal(undefined);
    }
  });

  it('is that it starts again when times before the floor begin anew, and to date by the receipt is proposed', () => {
    const since2000 = Date.UTC(2000, 0, 1) - BEGIN;
    const lives: Message[] = [
      [0, since2000 + 10_000],
      [100, since2000 + 70_000],
      [200, since2000 + 10_000],
      [300, since2000 + 70_000],
    ];
    const finding = found(lives);
    expect(finding).to.deep.include({ is: 'jumps-back', propose: 'receipt' });
    expect(found(lives.slice(0, 2))).to.deep.include({ is: 'behind', propose: 'receipt' });
    // A clock that is set by the network some seconds after each power-on.
    expect(found([...lives, [10_000, 10_000]]))
      .to.have.keys('is', 'byMs')
      .and.include({ is: 'jumps-back' });
  });

  it('is a jump back when it goes on from a time before those that it told, as from the day it was made', () => {
    const made = -700 * 24 * HOUR;
    const finding = found(every10(10, (i) => (i < 5 ? 0 : made - i * 1_000)));
    expect(finding).to.deep.include({ is: 'jumps-back', propose: 'receipt' });
    expect(finding && 'byMs' in finding ? finding.byMs : 0).to.be.closeTo(-made, 10_000);
    const hourBack = found(every10(9, (i) => (i < 5 ? 0 : -HOUR)));
    expect(hourBack).to.deep.equal({ is: 'jumps-back', byMs: HOUR, propose: 'receipt' });
  });

  it('is that it wanders when its error is another one each time: no constant is proposed', () => {
    const errors = [3, 1, 5, 2, 8, 4, 6].map((hours) => hours * HOUR);
    expect(found(every10(7, (i) => errors[i] ?? 0))).to.deep.include({ is: 'wanders', propose: 'receipt' });
    const behind = [70, 40, 90, 55, 30, 80, 65].map((minutes) => -minutes * MINUTE);
    expect(found(every10(7, (i) => behind[i] ?? 0))).to.deep.include({ is: 'wanders', propose: 'receipt' });
  });

  it('is that it is right as soon as the registry has the correction, and what is left when that is a wrong one', () => {
    const ahead = every10(4, () => 3 * HOUR);
    expect(found(ahead, '', { own: { offset: -10_800 } })).to.deep.include({ is: 'right' });
    const corrected = found(
      every10(4, () => 3 * HOUR),
      'clock: { offset: -10800 }',
      { own: { offset: -10_800 } },
    );
    expect(corrected).to.deep.include({ is: 'right' });
    expect(found(ahead, '', { own: { offset: 10_800 } })).to.deep.include({
      is: 'ahead',
      byMs: 6 * HOUR,
      propose: { offset: -10_800 },
    });
    // By its bridge, source or farm it is seen in the readings themselves.
    expect(found(ahead, 'clock: { offset: -10800 }')).to.deep.include({ is: 'right' });
  });

  it('proposes nothing where the receipt counts already, and still says how wrong the clock is', () => {
    const said = { own: 'receipt' } as const;
    expect(
      found(
        every10(4, () => 3 * HOUR),
        'clock: receipt',
        said,
      ),
    ).to.deep.equal({ is: 'ahead', byMs: 3 * HOUR });
    expect(found([[0, -BEGIN]], 'clock: receipt', said)).to.deep.equal({ is: 'behind', byMs: BEGIN });
  });

  it('is that it is right again after it was set', () => {
    expect(found(every10(7, (i) => (i < 4 ? 3 * HOUR : -1_000)))).to.deep.include({ is: 'right' });
  });

  it('of any constant error is that constant, and the proposal makes it right, for any interval and any jitter of the line', () => {
    fc.assert(
      fc.property(
        fc.integer({ min: -(10 ** 6), max: 10 ** 6 }).filter((s) => Math.abs(s) > 120),
        fc.integer({ min: 5, max: 3_600 }),
        fc.array(fc.integer({ min: 0, max: 900 }), { minLength: 6, maxLength: 20 }),
        (errorS, everyS, delays) => {
          const messages = delays.map(
            (delay, i): Message => [i * everyS * 1000 + delay, i * everyS * 1000 + errorS * 1000],
          );
          const finding = found(messages);
          expect(finding?.is).to.equal(errorS > 0 ? 'ahead' : 'behind');
          if (!finding || finding.is === 'right') return;
          expect(finding.byMs).to.be.closeTo(Math.abs(errorS) * 1000, 1_000);
          expect(found(messages, '', { own: finding.propose })).to.deep.include({ is: 'right' });
        },
      ),
    );
  });

  it('is the same in whatever order live and refused messages come, which are in two logs', () => {
    const messages = every10(12, (i) => 4 * MINUTE + i * 10_000);
    const live = new ClockSamples();
    const refused = new ClockSamples();
    for (const [at, told] of messages.toReversed()) {
      const { readings, clock } = decode('native', { ts: BEGIN + told, ec: 1 }, rulesOf(''), BEGIN + at + COUNT);
      for (const reading of readings) live.add(sampleOf(reading) ?? { at: 0, aheadMs: 0, correctedMs: 0 });
      if (clock) refused.add({ at: BEGIN + at + COUNT, ...clock });
    }
    expect([live.list.length, refused.list.length]).to.deep.equal([7, 5]);
    expect(findClock(joined(live.list, refused.list), {})).to.deep.equal(found(messages));
  });

  it('comes from so many receipts at most, the latest ones', () => {
    const samples = new ClockSamples();
    for (let i = 0; i < 10_000; i++) samples.add({ at: (i * 7_919) % 10_007, aheadMs: 0, correctedMs: 0 });
    expect(samples.list.length).to.equal(MOST_SAMPLES);
    const times = samples.list.map(({ at }) => at);
    expect(times).to.deep.equal(times.toSorted((a, b) => a - b));
    expect(times[0]).to.be.above(9_980 - 500 * MOST_SAMPLES);
  });

  it('is the same for a sensor that sends a hundred times a second', () => {
    const messages = Array.from({ length: 600 }, (_, i): Message => [i * 10, i * 10 - 3 * HOUR]);
    expect(found(messages)).to.deep.equal({ is: 'behind', byMs: 3 * HOUR, propose: { offset: 10_800 } });
  });
});
