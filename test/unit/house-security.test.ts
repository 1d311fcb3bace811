import { access } from 'node:fs/promises';
import { expect } from 'chai';
import { projectFile } from './house-table.ts';

describe('docs/security.md', () => {
  it('names tests that are there, one at least for each attack', async () => {
    const rows = (await projectFile('docs/security.md'))
      .split('\n')
      .filter((line) => /^\| (?!they|it tries|-)/.test(line));
    expect(rows.length).to.be.greaterThan(20);
    for (const row of rows) {
      const tests = [...row.matchAll(/`(test\/[\w./-]+)`/g)].map(([, path = '']) => path);
      expect(tests, row).to.not.deep.equal([]);
      for (const path of tests) await access(new URL(`../../${path}`, import.meta.url));
    }
  });
});
