import { readdir } from 'node:fs/promises';
import { expect } from 'chai';
import { code, projectFile, tableRows } from './house-table.ts';

const NUMBER = /\[(MQTT-\d+\.\d+\.\d+-\d+)\]/g;

describe('the list of MQTT statements', () => {
  let rows: { number: string; asks: string; kept: string; file: string }[];
  /** The statements in the names of each file's tests. */
  const tested = new Map<string, Set<string>>();

  before(async () => {
    rows = tableRows(await projectFile('docs/mqtt-conformance.md'), 'statement').map(([number, asks, kept, file]) => ({
      number: code(number),
      asks: asks ?? '',
      kept: kept ?? '',
      file: code(file),
    }));
    const files = await readdir(new URL('../broker/', import.meta.url));
    for (const file of files.filter((name) => /^conformance-.*\.test\.ts$/.test(name))) {
      const source = await projectFile(`test/broker/${file}`);
      const names = [...source.matchAll(/\bit\(\s*(['"`])(.*?)\1,/gs)].map(([, , name]) => name ?? '');
      const numbers = names.flatMap((name) => [...name.matchAll(NUMBER)].map(([, number]) => number ?? ''));
      tested.set(file.replace('.test.ts', ''), new Set(numbers));
    }
  });

  it('says of each what it asks, whether Loam keeps it, and names the file that tests it', () => {
    expect(rows.length).to.be.greaterThan(50);
    for (const { number, asks, kept, file } of rows) {
      expect(number, asks).to.match(/^MQTT-\d+\.\d+\.\d+-\d+$/);
      expect(asks, number).to.match(/\w{3}/);
      expect(kept, number).to.match(/^(yes|yes[,:] .*|departs: .*)$/);
      expect(tested.get(file)?.has(number), `${number} is tested in ${file}`).to.equal(true);
    }
  });

  it('has each statement once, and every one that a test is named after', () => {
    const listed = rows.map(({ number }) => number);
    expect(new Set(listed).size).to.equal(listed.length);
    const named = [...tested.values()].flatMap((numbers) => [...numbers]);
    expect(listed).to.include.members(named);
  });

  it('leaves no number of a section out: what does not bind a server is said to bind clients', async () => {
    const ofClients = tableRows(await projectFile('docs/mqtt-conformance.md'), 'of clients').map(([number]) =>
      code(number),
    );
    const all = new Set([...rows.map(({ number }) => number), ...ofClients]);
    expect(all.size).to.equal(rows.length + ofClients.length);
    const highest = new Map<string, number>();
    for (const number of all) {
      const [section = '', count = ''] = number.split('-').slice(1);
      highest.set(section, Math.max(highest.get(section) ?? 0, Number(count)));
    }
    for (const [section, count] of highest) {
      for (let n = 1; n <= count; n++) expect(all, 'the list').to.include(`MQTT-${section}-${n}`);
    }
  });
});
