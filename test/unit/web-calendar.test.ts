import { expect } from 'chai';
import { timeMarks } from '../../dashboard/chart/time-marks.ts';
import { dateOf, fromInput, midnights, startOfDay } from '../../dashboard/format/zone.ts';
import { DAY, dayEdges, offsetsOf } from '../../telemetry/calendar.ts';
import { shortOrLong } from '../services/length.ts';
import { AWKWARD_ZONES, clockChangesOf } from '../services/zones.ts';

const HOUR = 3_600_000;
const ZONES = shortOrLong(AWKWARD_ZONES, [...new Set([...AWKWARD_ZONES, ...Intl.supportedValuesOf('timeZone')])]);

describe('web: the calendar on screen is the server’s', () => {
  it('also around every change of the clocks: days begin when the server’s do', function () {
    this.timeout(shortOrLong(30_000, 1_800_000));
    for (const zone of ZONES) {
      for (const change of clockChangesOf(zone)) {
        const [from, to] = [change - 2 * DAY, change + 2 * DAY];
        const edges = dayEdges(zone, from, to);
        const inside = edges.filter((ts) => ts >= from && ts < to);
        expect(midnights(from, to, zone), zone).to.deep.equal(inside);
        expect(timeMarks(from, to - 1, DAY, zone), zone).to.deep.equal(inside);
        for (let ts = change - 3 * HOUR; ts < change + 3 * HOUR; ts += HOUR / 2) {
          const begin = edges.findLast((edge) => edge <= ts);
          expect(startOfDay(ts, zone), `${zone} ${new Date(ts).toISOString()}`).to.equal(begin);
        }
        for (const begin of inside) expect(fromInput(dateOf(begin, zone), zone), zone).to.equal(begin);
      }
    }
  });
});

describe('web: the marks of a time axis', () => {
  const texts = (marks: readonly number[], zone: string) =>
    marks.map((ts) => new Date(ts + offsetsOf(zone)(ts)).toISOString().slice(5, 16));

  it('are full hours of the farm’s clock, also behind a change and where a midnight is skipped', () => {
    const [from, to] = [Date.UTC(2026, 3, 23, 10), Date.UTC(2026, 3, 24, 10)];
    expect(texts(timeMarks(from, to, 6 * HOUR, 'Africa/Cairo'), 'Africa/Cairo')).to.deep.equal([
      ...['04-23T12:00', '04-23T18:00', '04-24T01:00', '04-24T06:00', '04-24T12:00'],
    ]);
    const autumn = timeMarks(Date.UTC(2026, 9, 24, 22), Date.UTC(2026, 9, 25, 12), 3 * HOUR, 'Europe/Berlin');
    expect(texts(autumn, 'Europe/Berlin').map((text) => text.slice(6, 8))).to.deep.equal([
      '00',
      '03',
      '06',
      '09',
      '12',
    ]);
  });

  it('of an hour or less leave out no hour that comes twice', () => {
    const [from, to] = [Date.UTC(2026, 9, 24, 23), Date.UTC(2026, 9, 25, 3)];
    const marks = timeMarks(from, to, HOUR, 'Europe/Berlin');
    expect(marks).to.deep.equal([0, 1, 2, 3, 4].map((n) => from + n * HOUR));
  });

  it('of months and years are the first days of them', () => {
    const months = timeMarks(Date.UTC(2025, 10, 15), Date.UTC(2026, 2, 15), 30 * DAY, 'America/Havana');
    expect(texts(months, 'America/Havana').map((text) => text.slice(0, 5))).to.deep.equal([
      '12-01',
      '01-01',
      '02-01',
      '03-01',
    ]);
    const years = timeMarks(Date.UTC(2019, 5), Date.UTC(2026, 5), 2 * 365 * DAY, 'UTC');
    expect(years.map((ts) => new Date(ts).getUTCFullYear())).to.deep.equal([2020, 2022, 2024, 2026]);
  });

  it('of any step are few and in order, in every zone', () => {
    for (const zone of AWKWARD_ZONES) {
      for (const step of [60_000, 10 * 60_000, HOUR, 4 * HOUR, 12 * HOUR, DAY, 7 * DAY, 60 * DAY, 365 * DAY]) {
        const from = Date.UTC(2018, 9, 30, 7, 13);
        const marks = timeMarks(from, from + 9 * step, step, zone);
        expect(marks.length, `${zone} ${step}`).to.be.within(6, 12);
        expect(marks).to.deep.equal([...new Set(marks)].sort((a, b) => a - b));
      }
    }
  });
});
