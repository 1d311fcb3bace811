import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { z } from 'zod';

describe('docs/moved.json', () => {
  it('leads from files that are gone to files that are there', () => {
    const moved = z.record(z.string(), z.string()).parse(JSON.parse(readFileSync('docs/moved.json', 'utf8')));
    for (const [from, to] of Object.entries(moved)) {
      expect(existsSync(from), from).to.equal(false);
      expect(existsSync(to), to).to.equal(true);
    }
  });
});
