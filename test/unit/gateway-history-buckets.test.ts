import { expect } from 'chai';
import type { Days } from '../../backbone/ports/store.ts';
import { chooseCut, ROUND_WIDTHS, toRow } from '../../dashboard-gateway/history/buckets.ts';
import { dayNumber, dayStart } from '../../telemetry/calendar.ts';

const BERLIN = 'Europe/Berlin';
const at = (text: string) => Date.parse(text);
const DAY = 86_400_000;

const lotOf = (ts: number, { daysIn, days = 1 }: Days) => Math.floor(dayNumber(ts, daysIn) / days);

describe('history buckets', () => {
  it('takes the narrowest round width that gives at most the points asked for', () => {
    const from = at('2026-03-01T00:00:00Z');
    expect(chooseCut(from, from + 10_000, 10, BERLIN).bucketMs).to.equal(1000);
    expect(chooseCut(from, from + 10_001, 10, BERLIN).bucketMs).to.equal(2000);
    expect(chooseCut(from, from + DAY, 500, BERLIN).bucketMs).to.equal(300_000);
    expect(chooseCut(from, from + DAY, 2, BERLIN).bucketMs).to.equal(12 * 3_600_000);
  });

  it('never gives more than the points, wherever the range begins', () => {
    for (const points of [1, 2, 3, 7, 500, 5000]) {
      for (const length of [1, 999, 1000, 61_000, 3_600_001, DAY, 40 * DAY, 3000 * DAY]) {
        for (const from of [at('2026-03-28T23:59:59.999Z'), at('2026-10-24T12:34:56.789Z')]) {
          const to = from + length;
          const cut = chooseCut(from, to, points, BERLIN);
          const count =
            'ms' in cut.bucket
              ? Math.floor((to - 1) / cut.bucket.ms) - Math.floor(from / cut.bucket.ms) + 1
              : lotOf(to - 1, cut.bucket) - lotOf(from, cut.bucket) + 1;
          expect(count, `${points} points, ${length} ms`).to.be.within(1, points);
        }
      }
    }
  });

  it('goes over to calendar days of the zone, and to lots of them when even those are too many', () => {
    const from = at('2026-01-01T00:00:00+01:00');
    const to = at('2026-01-31T00:00:00+01:00');
    const days = (count: number) => ({ bucket: { daysIn: BERLIN, days: count }, bucketMs: count * DAY });
    expect(chooseCut(from, to, 30, BERLIN)).to.deep.equal(days(1));
    expect(chooseCut(from, to, 29, BERLIN)).to.deep.equal(days(2));
    // The 1st is day 20454 since 1970, so the 30 days touch one lot more where they do not begin with one.
    expect(chooseCut(from, to, 15, BERLIN)).to.deep.equal(days(2));
    expect(chooseCut(from + DAY, to + DAY, 15, BERLIN)).to.deep.equal(days(3));
    expect(ROUND_WIDTHS).to.deep.equal([...ROUND_WIDTHS].sort((a, b) => a - b));
  });

  it('says when its last value came of a bucket that was filled in 15 minutes after it was over, and of no other', () => {
    const minutes = (n: number) => n * 60_000;
    const rowOf = (received: number, ts: number, ...range: [to: number, points: number]) => {
      const bucket = { ts, last: 1, min: 1, max: 1, mean: 1, count: 1, received };
      return toRow(bucket, chooseCut(ts, ...range, BERLIN));
    };
    const begin = at('2026-10-25T00:00+02:00');
    const hour = (received: number) => rowOf(received, begin, begin + DAY, 24);
    expect(hour(begin + minutes(75))).to.deep.equal([begin, 1, 1, 1, 1, 1]);
    expect(hour(begin + minutes(75) + 1)).to.deep.equal([begin, 1, 1, 1, 1, 1, begin + minutes(75) + 1]);
    // The clocks go back: this day has 25 hours.
    const day = (received: number) => rowOf(received, begin, begin + 7 * DAY, 7);
    expect(day(begin + DAY + minutes(75))).to.have.length(6);
    expect(day(begin + DAY + minutes(76))).to.have.length(7);
  });
});

describe('calendar days', () => {
  it('begin at local midnight, also on days of 23 and 25 hours', () => {
    for (const text of [
      '2026-03-29T00:00+01:00',
      '2026-03-30T00:00+02:00',
      '2026-10-25T00:00+02:00',
      '2026-10-26T00:00+01:00',
    ]) {
      expect(dayStart(dayNumber(at(text), BERLIN), BERLIN), text).to.equal(at(text));
      expect(dayNumber(at(text) - 1, BERLIN)).to.equal(dayNumber(at(text), BERLIN) - 1);
    }
  });

  it('begin at the jump where clocks skip midnight', () => {
    // Santiago: on 2026-09-06 the clock goes from 00:00 to 01:00.
    const zone = 'America/Santiago';
    const begin = at('2026-09-06T04:00:00Z');
    expect(dayStart(dayNumber(begin + 3_600_000, zone), zone)).to.equal(begin);
  });
});
