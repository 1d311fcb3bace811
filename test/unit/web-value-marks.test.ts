import { expect } from 'chai';
import fc from 'fast-check';
import { valueMarks } from '../../dashboard/chart/value-marks.ts';
import { axisLabels } from '../../dashboard/format/time.ts';

const DAY = 86_400_000;

/** The steps that the drawing library takes: 1, 2, 2.5 or 5 times a power of ten. */
const steps = fc
  .tuple(fc.constantFrom(1, 2, 2.5, 5), fc.integer({ min: -6, max: 5 }))
  .map(([times, power]) => Number(`${times}e${power}`));

describe('web: the marks of an axis of values', () => {
  it('read back are the values where they are drawn, and no two read alike', () => {
    fc.assert(
      fc.property(
        steps,
        fc.integer({ min: -5_000, max: 5_000 }),
        fc.integer({ min: 2, max: 12 }),
        (step, first, count) => {
          // Added up, as the library does it: what is left over is in the marks.
          const marks = [first * step];
          while (marks.length < count) marks.push((marks.at(-1) ?? 0) + step);
          const texts = valueMarks(marks, '', 'en-GB');
          const read = texts.map((text) => Number(text.replaceAll(',', '').replace('\u2212', '-')));
          for (const [i, mark] of marks.entries()) expect(read[i]).to.be.closeTo(mark, step / 1000);
          expect(new Set(texts).size).to.equal(marks.length);
        },
      ),
      { numRuns: 300 },
    );
  });

  it('have the places that the finest needs, whatever the values have', () => {
    expect(valueMarks([0, 0.25, 0.5], '', 'en-GB')).to.deep.equal(['0.00', '0.25', '0.50']);
    expect(valueMarks([0, 2.5, 5], '', 'en-GB')).to.deep.equal(['0.0', '2.5', '5.0']);
    expect(valueMarks([-20, -10, -0], '', 'en-GB')).to.deep.equal(['\u221220', '\u221210', '0']);
    expect(valueMarks([0.1 + 0.2], '', 'en-GB')).to.deep.equal(['0.3']);
    expect(valueMarks([], '%', 'en-GB')).to.deep.equal([]);
  });

  it('have their unit at the top', () => {
    expect(valueMarks([1_000, 1_010], 'hPa', 'en-GB')).to.deep.equal(['1,000', '1,010\nhPa']);
  });
});

describe('web: the marks of an axis of time', () => {
  it('of days of several years have the year where it begins, and no two read alike', () => {
    const marks = [Date.UTC(2025, 8, 1), Date.UTC(2025, 10, 1), Date.UTC(2026, 0, 1), Date.UTC(2026, 8, 1)];
    expect(axisLabels(marks, 60 * DAY, 'en-GB', 'UTC')).to.deep.equal([
      '1 Sept\n2025',
      '1 Nov',
      '1 Jan\n2026',
      '1 Sept',
    ]);
    const years = [2024, 2025, 2026].map((year) => Date.UTC(year, 0, 1));
    expect(axisLabels(years, 365 * DAY, 'en-GB', 'UTC')).to.deep.equal(['1 Jan\n2024', '1 Jan\n2025', '1 Jan\n2026']);
  });

  it('of days of one year have none, as long as they are near each other', () => {
    const marks = [Date.UTC(2026, 4, 1), Date.UTC(2026, 4, 3)];
    expect(axisLabels(marks, 2 * DAY, 'en-GB', 'UTC')).to.deep.equal(['1 May', '3 May']);
  });
});
