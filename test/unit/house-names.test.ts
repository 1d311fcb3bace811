import { readFileSync } from 'node:fs';
import { expect } from 'chai';
import { sources } from '../rooms/picture.ts';
import { tableRows } from './house-table.ts';

describe('the name of a type', () => {
  it('has one definition, exported or not', () => {
    const owners = new Map<string, string[]>();
    for (const path of sources()) {
      const found = readFileSync(path, 'utf8').matchAll(/^(?:export )?(?:abstract )?(?:type|interface|class) (\w+)/gm);
      for (const [, name = ''] of found) owners.set(name, [...(owners.get(name) ?? []), path]);
    }
    const twice = [...owners].filter(([name, paths]) => paths.length > 1 && !SHARED.has(name));
    expect(twice).to.deep.equal([]);
    expect(owners.size).to.be.greaterThan(600);
  });
});

/** The client library imports nothing, so what it shares with the page or the gateway it has to say again. None at the moment. */
const SHARED: ReadonlySet<string> = new Set();

describe('docs/glossary.md', () => {
  it('names for each word a file that is there, and no word twice', () => {
    const rows = tableRows(readFileSync('docs/glossary.md', 'utf8'), 'word');
    const words = rows.map(([word]) => word);
    const files = sources();
    expect(new Set(words).size).to.equal(words.length);
    expect(rows.length).to.be.greaterThan(30);
    for (const [word, , owner = ''] of rows) {
      const path = /`([^`]+)`/.exec(owner)?.[1] ?? '';
      expect(files, `${word}: ${owner}`).to.include(path);
    }
  });
});
