import { expect } from 'chai';
import { readInstant } from '../../telemetry/clock.ts';
import { localTimes } from '../../telemetry/local-time.ts';

const at = (text: string) => Date.parse(text);

describe('local times', () => {
  it('are ISO 8601 with the offset of their zone, and the same instant', () => {
    const zones: [string, string, string][] = [
      ['Europe/Berlin', '2026-01-15T11:00:00.001Z', '2026-01-15T12:00:00.001+01:00'],
      ['America/New_York', '2026-07-15T03:30:00Z', '2026-07-14T23:30:00.000-04:00'],
      ['Asia/Kathmandu', '2026-07-15T00:00:00Z', '2026-07-15T05:45:00.000+05:45'],
      ['America/St_Johns', '2026-01-15T00:00:00Z', '2026-01-14T20:30:00.000-03:30'],
      ['UTC', '2199-12-31T23:59:59.999Z', '2199-12-31T23:59:59.999+00:00'],
    ];
    for (const [zone, instant, written] of zones) {
      expect(localTimes(zone)(at(instant))).to.equal(written);
      expect(at(written)).to.equal(at(instant));
    }
  });

  it('have three digits more where they are not whole milliseconds', () => {
    const written = localTimes('Europe/Berlin');
    const noon = at('2026-01-15T11:00:00.007Z');
    expect(written(noon + 0.001)).to.equal('2026-01-15T12:00:00.007001+01:00');
    expect(written(noon + 0.999)).to.equal('2026-01-15T12:00:00.007999+01:00');
    for (const sub of [0.001, 0.5, 0.999]) expect(readInstant(written(noon + sub), 'UTC')).to.equal(noon + sub);
  });

  it('follow the clocks over a change, to and fro', () => {
    const berlin = localTimes('Europe/Berlin');
    const change = at('2026-03-29T01:00:00Z');
    for (const [instant, written] of [
      [change - 1, '2026-03-29T01:59:59.999+01:00'],
      [change, '2026-03-29T03:00:00.000+02:00'],
      [change - 1, '2026-03-29T01:59:59.999+01:00'],
    ] as const) {
      expect(berlin(instant)).to.equal(written);
    }
    const lordHowe = localTimes('Australia/Lord_Howe');
    expect(lordHowe(at('2026-04-04T14:59:59Z'))).to.equal('2026-04-05T01:59:59.000+11:00');
    expect(lordHowe(at('2026-04-04T15:00:00Z'))).to.equal('2026-04-05T01:30:00.000+10:30');
  });

  it('of no zone are refused', () => {
    expect(() => localTimes('Mars/Olympus')).to.throw(RangeError);
  });
});
