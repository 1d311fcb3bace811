import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir } from 'node:fs/promises';
import { expect } from 'chai';
import { temporaryFolder } from '../services/wait.ts';

describe('the loader of TypeScript', () => {
  // In a folder that everybody may write to, whoever makes the cache first decides what is run.
  it('keeps nothing that it has translated in the folder for temporary files', async () => {
    const folder = await temporaryFolder();
    const { TSX_DISABLE_CACHE: _, ...env } = process.env;
    const child = spawn(process.execPath, ['cli/bin.js', '--help'], {
      stdio: 'ignore',
      env: { ...env, TMPDIR: folder },
    });
    const [code] = await once(child, 'exit');
    expect(code).to.equal(0);
    expect(await readdir(folder)).to.deep.equal([]);
  });
});
