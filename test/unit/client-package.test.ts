import { execFile } from 'node:child_process';
import { cp, readdir, readFile, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect } from 'chai';
import { temporaryFolder } from '../services/wait.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
const source = join(root, 'client');

describe('client: the package', () => {
  it('has no dependency', async () => {
    const { dependencies, peerDependencies } = JSON.parse(await readFile(join(source, 'package.json'), 'utf8'));
    expect([dependencies, peerDependencies]).to.deep.equal([undefined, undefined]);
  });

  it('is packed from its own folder alone, with types, and runs in plain Node', async () => {
    const folder = join(await temporaryFolder(), 'client');
    await cp(source, folder, { recursive: true, filter: (path) => !path.endsWith('dist') });
    await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
    const { stdout } = await run('npm', ['pack', '--json', '--silent'], { cwd: folder });
    const [packed] = JSON.parse(stdout.slice(stdout.indexOf('[')));
    const paths: string[] = packed.files.map((file: { path: string }) => file.path);
    expect(paths).to.include.members([
      'README.md',
      'package.json',
      'dist/index.js',
      'dist/index.d.ts',
      'dist/browser.js',
    ]);
    expect(paths.filter((path) => !/^(README\.md|package\.json|dist\/.+\.(js|d\.ts))$/.test(path))).to.deep.equal([]);

    await writeFile(
      join(folder, 'use.mjs'),
      "import { LiveClient } from 'loam-client';\nimport 'loam-client/browser';\nconsole.log(new LiveClient({ dial: () => {} }).state.phase);\n",
    );
    expect((await run(process.execPath, ['use.mjs'], { cwd: folder })).stdout).to.equal('idle\n');
    expect(await readdir(join(folder, 'dist'))).to.include('live-series.d.ts');
  });
});
