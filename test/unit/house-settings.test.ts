import { expect } from 'chai';
import { fileVariable } from '../../core/setting-files.ts';
import { SETTINGS, type Setting } from '../../core/settings.ts';
import { code, projectFile, tableRows } from './house-table.ts';

const settings: Setting[] = Object.values(SETTINGS);

function defaultOf({ fallback }: Setting): string {
  if (fallback === undefined) return '–';
  return `\`${typeof fallback === 'function' ? fallback('$LOAM_DATA') : fallback}\``;
}

describe('settings', () => {
  it('are all listed in docs/configuration.md as they are, and no others', async () => {
    const rows = tableRows(await projectFile('docs/configuration.md'), 'variable');
    expect(rows).to.deep.equal(
      settings.map((s) => [`\`${s.variable}\``, `\`${s.option}\``, defaultOf(s), s.help, s.allowed]),
    );
  });

  it('are the only variables of Loam that the pages and compose.yaml name', async () => {
    // LOAM_X stands for any of them.
    const known = new Set([...settings.map((s) => s.variable), 'LOAM_X'].flatMap((name) => [name, fileVariable(name)]));
    // Those of compose.yaml itself.
    for (const own of ['LOAM_UID', 'LOAM_GID', 'LOAM_DOMAIN']) known.add(own);
    for (const path of [
      'README.md',
      'CONTRIBUTING.md',
      'compose.yaml',
      'Dockerfile',
      '.env.example',
      'docs/configuration.md',
      'docs/operations.md',
    ]) {
      const named = (await projectFile(path)).match(/\bLOAM_(?!TEST_)[A-Z_]*[A-Z]/g) ?? [];
      expect(
        named.filter((name) => !known.has(name)),
        path,
      ).to.deep.equal([]);
    }
  });

  it('are written as code is in docs/configuration.md', async () => {
    for (const [variable] of tableRows(await projectFile('docs/configuration.md'), 'variable')) {
      expect(code(variable)).to.match(/^LOAM_/);
    }
  });
});
