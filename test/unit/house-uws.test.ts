import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { expect } from 'chai';
import { loadUws } from '../../dashboard-gateway/http/uws.ts';
import { code, projectFile, tableRows } from './house-table.ts';

const FOLDERS: Readonly<Record<string, string>> = {
  '@btc-vision/uwebsockets.js': '.',
  '@trufflesuite/uws-js-unofficial': 'binaries',
};

describe('docs/uwebsockets.md', () => {
  const rows = async () =>
    tableRows(await projectFile('docs/uwebsockets.md'), 'package').map((cells) => cells.map(code));

  it('has the sum of each binary of uWebSockets.js as it is on this machine', async () => {
    const all = await rows();
    expect(all.length).to.be.greaterThan(10);
    for (const [from = '', file = '', sum = ''] of all) {
      const path = ['node_modules', from, FOLDERS[from], file].join('/');
      const bytes = await readFile(new URL(`../../${path}`, import.meta.url));
      expect(createHash('sha256').update(bytes).digest('hex'), path).to.equal(sum);
    }
  });

  it('has a row for the binary that is in use', async () => {
    const { from } = loadUws();
    const file = `uws_${process.platform}_${process.arch}_${process.versions.modules}.node`;
    expect((await rows()).map((cells) => cells.slice(0, 2))).to.deep.include([from, file]);
  });
});
