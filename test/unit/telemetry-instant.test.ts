import { expect } from 'chai';
import fc from 'fast-check';
import { instant, instantOfMicros, isInstant, microsOf, msOf, subOf } from '../../telemetry/instant.ts';
import { MAX_TS, MIN_TS } from '../../telemetry/reading.ts';

const ms = fc.integer({ min: MIN_TS, max: MAX_TS - 1 });
const sub = fc.integer({ min: 0, max: 999 });

describe('an instant', () => {
  it('gives back its millisecond and its count', () => {
    fc.assert(
      fc.property(ms, sub, (at, count) => {
        const ts = instant(at, count);
        expect([msOf(ts), subOf(ts), microsOf(ts)]).to.deep.equal([at, count, at * 1000 + count]);
        expect(instantOfMicros(microsOf(ts))).to.equal(ts);
        expect(isInstant(ts)).to.equal(true);
      }),
    );
  });

  it('is the same number when it is read from its digits', () => {
    fc.assert(
      fc.property(ms, sub, (at, count) => {
        const digits = `${at}.${String(count).padStart(3, '0')}`;
        expect(JSON.parse(digits)).to.equal(instant(at, count));
        expect(JSON.parse(JSON.stringify(instant(at, count)))).to.equal(instant(at, count));
      }),
    );
  });

  it('rises with its count, and differs from every other', () => {
    fc.assert(
      fc.property(ms, fc.integer({ min: 0, max: 998 }), (at, count) => instant(at, count) < instant(at, count + 1)),
    );
    expect(instant(MIN_TS, 999)).to.be.lessThan(MIN_TS + 1);
  });

  it('has no part smaller than a microsecond', () => {
    expect(isInstant(MIN_TS + 0.0005)).to.equal(false);
    expect(isInstant(Number.NaN)).to.equal(false);
    expect(isInstant(Number.POSITIVE_INFINITY)).to.equal(false);
    expect(isInstant(MIN_TS)).to.equal(true);
  });
});
