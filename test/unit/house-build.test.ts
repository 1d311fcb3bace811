import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { rolldown } from 'rolldown';
import config from '../../rolldown.config.ts';

/** The scripts under a folder, by their path in it. */
async function scriptsUnder(folder: string): Promise<string[]> {
  const paths = await readdir(folder, { recursive: true });
  return paths.filter((path) => path.endsWith('.js')).sort();
}

describe('dist/', () => {
  // Tests start the command from there: an old one would be tested instead of what the sources say.
  it('is what the sources make: npm run build', async () => {
    const bundle = await rolldown(config);
    const { output } = await bundle.generate(config.output);
    await bundle.close();
    const built = new Map(output.flatMap((file) => (file.type === 'chunk' ? [[file.fileName, file.code]] : [])));
    const kept = (await scriptsUnder('dist')).filter((path) => !path.startsWith('dashboard/'));
    expect(kept).to.deep.equal([...built.keys()].sort());
    for (const path of kept) expect(await readFile(join('dist', path), 'utf8'), path).to.equal(built.get(path));
  });
});
