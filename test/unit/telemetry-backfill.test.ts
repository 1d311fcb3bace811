import { expect } from 'chai';
import { BACKFILL_AGE_MS, isBackfill, isLate } from '../../telemetry/backfill.ts';

const received = 1_764_000_000_000;
const at = (ts: number) => ({ ts, received });

describe('backfill', () => {
  it('is a reading that was too old when it was received', () => {
    expect(isLate(at(received - BACKFILL_AGE_MS))).to.equal(false);
    expect(isLate(at(received - BACKFILL_AGE_MS - 1))).to.equal(true);
    expect(isBackfill(at(received - BACKFILL_AGE_MS - 1))).to.equal(true);
  });

  it('is a reading older than the newest one of its sensor', () => {
    expect(isBackfill(at(received), received + 1)).to.equal(true);
    expect(isBackfill(at(received), received)).to.equal(false);
    expect(isBackfill(at(received))).to.equal(false);
  });

  it('is what was marked so', () => {
    expect(isBackfill({ ...at(received), backfill: true })).to.equal(true);
  });
});
