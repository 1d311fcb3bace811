import { expect } from 'chai';
import { z } from 'zod';
import { code, projectFile, tableRows } from './house-table.ts';

const versions = z.record(z.string(), z.string());
const manifest = z.object({
  version: z.string(),
  dependencies: versions,
  optionalDependencies: versions,
  devDependencies: versions,
});

const REGISTRY = 'https://registry.npmjs.org/';

async function direct(): Promise<Record<string, string>> {
  const { dependencies, optionalDependencies, devDependencies } = manifest.parse(
    JSON.parse(await projectFile('package.json')),
  );
  return { ...dependencies, ...optionalDependencies, ...devDependencies };
}

const entry = z.object({
  integrity: z.string().optional(),
  resolved: z.string().optional(),
  optionalDependencies: versions.optional(),
});
const lockFile = z.object({ packages: z.record(z.string(), entry) });

describe('dependencies', () => {
  it('have exact versions', async () => {
    for (const [name, version] of Object.entries(await direct())) {
      expect(version, name).to.match(/^\d+\.\d+\.\d+(-[0-9A-Za-z.-]+)?$/);
    }
  });

  it('have the binaries of every platform in the lock file, wherever it was written', async () => {
    const { packages } = lockFile.parse(JSON.parse(await projectFile('package-lock.json')));
    for (const [path, { optionalDependencies = {} }] of Object.entries(packages)) {
      for (const name of Object.keys(optionalDependencies)) {
        expect(packages, `${name} of ${path}`).to.satisfy(
          () => `node_modules/${name}` in packages || `${path}/node_modules/${name}` in packages,
        );
      }
    }
  });

  it('are fetched from the registry as what they were when they were locked, for every platform', async () => {
    for (const file of ['package-lock.json', 'bench/peers/node-red/package-lock.json']) {
      const { packages } = lockFile.parse(JSON.parse(await projectFile(file)));
      const locked = Object.entries(packages).filter(([path]) => path !== '');
      expect(locked, file).to.have.length.of.at.least(100);
      const doubtful = locked.filter(([, { integrity = '', resolved = REGISTRY }]) => {
        return !/^sha512-[\w+/]{86}==$/.test(integrity) || !resolved.startsWith(REGISTRY);
      });
      expect(doubtful.map(([path]) => `${file}: ${path}`)).to.deep.equal([]);
    }
  });

  it('each have a line in docs/decisions/README.md that says why, and nothing else has one', async () => {
    const rows = tableRows(await projectFile('docs/decisions/README.md'), 'dependency');
    expect(rows.map(([name]) => code(name))).to.deep.equal(Object.keys(await direct()).sort());
    for (const [name, why] of rows) expect(why, name).to.match(/\w/);
  });

  it('are each named on the page that their line leads to, and the page says what would change it', async () => {
    for (const [name, , link] of tableRows(await projectFile('docs/decisions/README.md'), 'dependency')) {
      const file = /\(([a-z-]+\.md)\)$/.exec(link ?? '')?.[1];
      const page = await projectFile(`docs/decisions/${file}`);
      expect(page, file).to.include(name);
      expect(page, file).to.include('What would change it');
    }
  });
});
