import { existsSync, readFileSync } from 'node:fs';
import { expect } from 'chai';
import { PAGE, withRooms } from '../rooms/picture.ts';
import { code, tableRows } from './house-table.ts';

const page = readFileSync(PAGE, 'utf8');
const glossary = tableRows(readFileSync('docs/glossary.md', 'utf8'), 'word');

describe('docs/architecture.md', () => {
  it('shows the rooms as their imports are: `npm run rooms` draws them anew', () => {
    expect(page).to.equal(withRooms(page));
    expect(page).to.include('flowchart');
  });

  it('names only files and folders that are there on the way of a reading', () => {
    const steps = tableRows(page, 'step');
    expect(steps.length).to.be.greaterThan(12);
    for (const [step, files = ''] of steps) {
      const paths = [...files.matchAll(/`([^`]+)`/g)].map(([, path = '']) => path);
      expect(paths.length, `step ${step}`).to.be.greaterThan(0);
      for (const path of paths) expect(existsSync(path), `step ${step}: ${path}`).to.equal(true);
    }
  });

  for (const [question = '', word, look] of tableRows(page, 'question')) {
    it(`leads to the right file: ${question}`, () => {
      const line = glossary.find(([known]) => known === word);
      const path = code(line?.[2]);
      expect(path, `"${word}" in the glossary`).to.not.equal('');
      const name = code(look).replaceAll(/[.*+?^${}()|[\]\\]/g, '\\$&');
      expect(readFileSync(path, 'utf8'), path).to.match(new RegExp(`\\b${name}\\b`));
    });
  }
});
