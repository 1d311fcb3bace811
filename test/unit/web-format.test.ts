import { expect } from 'chai';
import { formatAge, formatDuration } from '../../dashboard/format/age.ts';
import { axisLabels, formatInstant, formatMoment, formatTimeOfDay } from '../../dashboard/format/time.ts';
import { formatValue, labelFrom, levelOf } from '../../dashboard/format/value.ts';

const HOUR = 3_600_000;

describe('web: ages', () => {
  it('are told in the largest unit that is full', () => {
    // How far the unit is shortened differs from one version of the language data to the next.
    expect(formatAge(12_400, 'en')).to.match(/^12 ?s(ec)?\.? ago$/);
    expect(formatAge(59_999, 'en')).to.match(/^59 ?s(ec)?\.? ago$/);
    expect(formatAge(60_000, 'en')).to.match(/^1 ?m(in)?\.? ago$/);
    expect(formatAge(26 * HOUR, 'en')).to.match(/^1 ?d(ay)? ago$/);
  });

  it('are told in the language of the reader', () => {
    expect(formatAge(12_000, 'de')).to.equal('vor 12 s');
  });

  it('of what just came, or seems to lie ahead because clocks differ, are now', () => {
    expect(formatAge(300, 'en')).to.equal('now');
    expect(formatAge(-90_000, 'en')).to.equal('now');
  });

  it('of what is dated far ahead say so, for it cannot be of now', () => {
    expect(formatAge(-30 * 24 * HOUR, 'en')).to.match(/^in 30 ?d(ays?)?$/);
  });

  it('have lengths that are told alike', () => {
    expect(formatDuration(2 * 60_000, 'en')).to.equal('2 minutes');
  });
});

describe('web: values', () => {
  it('have the decimals of their metric and the marks of the reader', () => {
    expect(formatValue(31.25, 1, 'en')).to.match(/^31\.[23]$/);
    expect(formatValue(1234.5, 2, 'de')).to.equal('1.234,50');
    expect(formatValue(7, 0, 'en')).to.equal('7');
    expect(formatValue(-7.5, 1, 'en')).to.equal('\u22127.5');
    expect(formatValue(-7.5, 1, 'sv')).to.equal('\u22127,5');
  });

  it('of an unknown metric have at most two decimals', () => {
    expect(formatValue(3.456, undefined, 'en')).to.equal('3.46');
    expect(formatValue(3, undefined, 'en')).to.equal('3');
  });

  it('are too low or too high only outside their range', () => {
    const metric = { min: 20, max: 45, decimals: 1 };
    expect(levelOf(19.9, metric)).to.equal('low');
    expect(levelOf(20, metric)).to.equal('ok');
    expect(levelOf(45, metric)).to.equal('ok');
    expect(levelOf(45.1, metric)).to.equal('high');
    expect(levelOf(-1e9, { min: undefined, max: 45, decimals: 1 })).to.equal('ok');
  });

  it('get a readable name where nobody gave one', () => {
    expect(labelFrom('leaf_wetness')).to.equal('Leaf wetness');
  });
});

describe('web: times', () => {
  const noon = Date.UTC(2025, 10, 24, 12, 0);

  it('of today are told without the date, of another day with it', () => {
    expect(formatMoment(noon, noon + HOUR, 'en-GB', 'UTC')).to.equal('12:00');
    expect(formatMoment(noon, noon + 24 * HOUR, 'en-GB', 'UTC')).to.equal('24 Nov, 12:00');
    // In Auckland it is tomorrow already; so it was an hour before.
    expect(formatMoment(noon, noon + 11 * HOUR, 'en-GB', 'Pacific/Auckland')).to.equal('01:00');
    expect(formatMoment(noon - 2 * HOUR, noon, 'en-GB', 'Pacific/Auckland')).to.equal('24 Nov, 23:00');
  });

  it('of another year are told with it', () => {
    expect(formatMoment(noon, noon + 365 * 24 * HOUR, 'en-GB', 'UTC')).to.equal('24 Nov 2025, 12:00');
  });

  it('in a chart have their day when it is not today, however long the chart is, and seconds in a short one', () => {
    const day = { rangeMs: 24 * HOUR, now: noon };
    expect(formatInstant(noon - 13 * HOUR, day, 'en-GB', 'UTC')).to.equal('23 Nov, 23:00');
    expect(formatInstant(noon - HOUR, day, 'en-GB', 'UTC')).to.equal('11:00');
    expect(formatInstant(noon, { rangeMs: HOUR, now: noon }, 'en-GB', 'UTC')).to.equal('12:00:00');
  });

  it('of a day end with 24:00 where clocks go to 24', () => {
    const [begin, end] = [Date.UTC(2025, 10, 23, 23), Date.UTC(2025, 10, 24, 23)];
    expect(formatTimeOfDay(begin, begin, 'en-GB', 'Europe/Berlin')).to.equal('00:00');
    expect(formatTimeOfDay(end - 60_000, begin, 'en-GB', 'Europe/Berlin')).to.equal('23:59');
    expect(formatTimeOfDay(end, begin, 'en-GB', 'Europe/Berlin')).to.equal('24:00');
    expect(formatTimeOfDay(end, begin, 'en-US', 'Europe/Berlin')).to.match(/^12:00.AM$/);
  });

  it('on the axis are those of the farm, and the date stands where a day begins there', () => {
    const marks = [Date.UTC(2025, 10, 24, 22), Date.UTC(2025, 10, 24, 23), Date.UTC(2025, 10, 25, 0)];
    expect(axisLabels(marks, HOUR, 'en-GB', 'Europe/Berlin')).to.deep.equal(['23:00', '00:00\n25 Nov', '01:00']);
    expect(axisLabels(marks.slice(1), HOUR, 'en-GB', 'Europe/Berlin')).to.deep.equal(['00:00\n25 Nov', '01:00']);
  });

  it('on an axis of days are dates', () => {
    expect(axisLabels([noon], 24 * HOUR, 'en-GB', 'UTC')).to.deep.equal(['24 Nov']);
  });
});
