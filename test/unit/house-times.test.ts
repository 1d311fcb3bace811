import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { timesAskedIn } from '../patterns/times.ts';
import { sources } from '../rooms/picture.ts';

describe('the check of who asks for the time', () => {
  it('finds every way to ask', () => {
    const text = `import { hrtime } from 'node:process';
      import { performance as clock } from 'node:perf_hooks';
      const a = Date.now();
      const b = [1].map(Date.now);
      const c = new Date();
      const d = performance.now() + process.hrtime.bigint();
      const e = Date();
      const fine = [new Date(a), Date.UTC(2026), moment.now(), 'Date.now()', performance.mark('x')]; // Date.now()
    `;
    const lines = timesAskedIn('workers/a.ts', text).map(({ line }) => line);
    expect(lines.sort((one, other) => one - other)).to.deep.equal([1, 2, 3, 4, 5, 6, 6, 7]);
    for (const path of ['core/clock.ts', 'client/src/a.ts', 'dashboard/api/gateway-clock.ts']) {
      expect(timesAskedIn(path, text), path).to.deep.equal([]);
    }
    expect(timesAskedIn('dashboard/a.tsx', text)).to.have.length(8);
  });

  it('nobody asks but the one clock', () => {
    expect(sources().flatMap((path) => timesAskedIn(path, readFileSync(path, 'utf8')))).to.deep.equal([]);
  });
});
