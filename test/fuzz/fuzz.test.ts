import { expect } from 'chai';
import { shortOrLong } from '../services/length.ts';
import { line } from './outcome.ts';
import { fuzz } from './run.ts';

// The short form of `npm run fuzz`.
const CASES = shortOrLong(1_000, 10_000);

describe('whatever anybody sends', function () {
  this.timeout(120_000);

  for (const [which, seed] of [
    ['the same every time', 1],
    ['another each time', Date.now() % 2 ** 32],
  ] as const) {
    it(`is read in a time that its size allows, throws nothing, and becomes readings or refusals: ${which}`, async () => {
      const { broken, nearest, taken, payloads } = await fuzz({ seed, cases: CASES });
      const again = `npm run fuzz -- --seed ${seed} --cases ${CASES}\n${nearest.map(line).join('\n')}`;
      expect(broken, again).to.deep.equal([]);
      expect(taken / payloads, `share of payloads that readings are taken of, ${again}`).to.be.above(0.2);
    });
  }
});
