import { execFile } from 'node:child_process';
import { copyFile, mkdir, readdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect } from 'chai';
import { temporaryFolder } from '../services/wait.ts';

const root = fileURLToPath(new URL('../..', import.meta.url));
const biome = join(root, 'node_modules', '.bin', 'biome');

type Files = Readonly<Record<string, string>>;

/** What the project's own biome.json says of a small project of `files`. */
async function lint(files: Files): Promise<{ code: number; output: string }> {
  const folder = await temporaryFolder();
  for (const name of ['biome.json', '.gitignore']) await copyFile(join(root, name), join(folder, name));
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(folder, path)), { recursive: true });
    await writeFile(join(folder, path), text);
  }
  return new Promise((resolve) => {
    const env = { ...process.env, NO_COLOR: '1' };
    execFile(biome, ['ci', '--error-on-warnings', '.'], { cwd: folder, env }, (error, stdout, stderr) => {
      resolve({ code: typeof error?.code === 'number' ? error.code : error ? -1 : 0, output: stdout + stderr });
    });
  });
}

/** A file at `from` that imports one at `to`, and that one. */
function importing(from: string, to: string): Files {
  const up = '../'.repeat(from.split('/').length - 1);
  return { [from]: `export { thing } from '${up}${to}';\n`, [to]: 'export const thing = 1;\n' };
}

const refused: [from: string, to: string][] = [
  ['core/a.ts', 'telemetry/b.ts'],
  ['core/a.ts', 'cli/b.ts'],
  ['telemetry/a.ts', 'backbone/ports/queue.ts'],
  ['telemetry/formats/a.ts', 'workers/b.ts'],
  ['backbone/segments/queue.ts', 'broker/b.ts'],
  ['backbone/open.ts', 'cli/b.ts'],
  ['broker/a.ts', 'backbone/segments/queue.ts'],
  ['broker/a.ts', 'backbone/rabbitmq/queue.ts'],
  ['broker/a.ts', 'backbone/rabbitmq/queue-consumer.ts'],
  ['broker/a.ts', 'backbone/open.ts'],
  ['broker/a.ts', 'workers/b.ts'],
  ['workers/a.ts', 'backbone/duckdb/store.ts'],
  ['workers/a.ts', 'backbone/registry/file.ts'],
  ['workers/a.ts', 'dashboard-gateway/b.ts'],
  ['dashboard-gateway/a.ts', 'backbone/influx/store.ts'],
  ['dashboard-gateway/routes/a.ts', 'backbone/segments/log.ts'],
  ['dashboard-gateway/a.ts', 'broker/b.ts'],
  ['dashboard-gateway/a.ts', 'dashboard/b.ts'],
  ['dashboard-gateway/a.ts', 'client/b.ts'],
  ['dashboard-gateway/routes/a.ts', 'client/b.ts'],
  ['client/a.ts', 'dashboard/b.ts'],
  ['client/a.ts', 'telemetry/b.ts'],
  ['dashboard/a.ts', 'core/b.ts'],
  ['dashboard/views/a.ts', 'telemetry/b.ts'],
  ['simulators/a.ts', 'backbone/ports/queue.ts'],
  ['simulators/a.ts', 'broker/b.ts'],
  ['broker/a.ts', 'test/b.ts'],
  ['workers/a.ts', 'bench/b.ts'],
  ['workers/a.ts', 'roles/b.ts'],
  ['roles/a.ts', 'cli/b.ts'],
  ['cli/a.ts', 'test/b.ts'],
];

const lawful: [from: string, to: string][] = [
  ['telemetry/formats/a.ts', 'core/b.ts'],
  ['backbone/segments/queue.ts', 'telemetry/b.ts'],
  ['backbone/open.ts', 'backbone/segments/queue-file.ts'],
  ['broker/a.ts', 'backbone/ports/queue.ts'],
  ['broker/c.ts', 'telemetry/b.ts'],
  ['workers/a.ts', 'backbone/ports/store.ts'],
  ['dashboard-gateway/routes/a.ts', 'backbone/ports/log.ts'],
  ['dashboard/views/a.ts', 'dashboard/state/b.ts'],
  ['dashboard/views/c.ts', 'client/b.ts'],
  ['dashboard/format/a.ts', 'telemetry/calendar.ts'],
  ['dashboard-gateway/sensors/a.ts', 'client/messages.ts'],
  ['simulators/a.ts', 'telemetry/formats/c.ts'],
  ['cli/a.ts', 'backbone/open2.ts'],
  ['cli/c.ts', 'dashboard-gateway/b.ts'],
  ['roles/a.ts', 'backbone/segments/queue.ts'],
  ['cli/d.ts', 'roles/b.ts'],
  ['bench/a.ts', 'broker/d.ts'],
  ['test/unit/a.ts', 'workers/b.ts'],
];

describe('import arrows', () => {
  for (const [from, to] of refused) {
    it(`refuse that ${from} imports ${to}`, async () => {
      const { code, output } = await lint(importing(from, to));
      expect(code, output).to.equal(1);
      expect(output).to.include('noRestrictedImports').and.to.include(from);
    });
  }

  it('let pass what is lawful', async () => {
    const files: Files = Object.assign({}, ...lawful.map(([from, to]) => importing(from, to)));
    const { code, output } = await lint(files);
    expect(code, output).to.equal(0);
  });

  it('let the gateway take types of the client, and nothing that runs', async () => {
    const files = (await readdir(join(root, 'dashboard-gateway'), { recursive: true })).filter((file) =>
      file.endsWith('.ts'),
    );
    for (const file of files) {
      const text = await readFile(join(root, 'dashboard-gateway', file), 'utf8');
      expect(text, file).not.to.match(/^(import|export) (?!type\b)[^;]*\/client\//m);
    }
  });

  it('refuse a circle, a long one too', async () => {
    const { code, output } = await lint({
      'core/a.ts': "export { b as a } from './b.ts';\n",
      'core/b.ts': "export { c as b } from './c.ts';\n",
      'core/c.ts': "export { a as c } from './a.ts';\n",
    });
    expect(code, output).to.equal(1);
    expect(output).to.include('noImportCycles');
  });

  for (const [path, what, text, rule] of [
    ['telemetry/a.ts', 'reads files', "export { readFile } from 'node:fs/promises';\n", 'noRestrictedImports'],
    ['dashboard/a.ts', 'uses Node', "export { join } from 'node:path';\n", 'noRestrictedImports'],
    ['client/a.ts', 'uses Node', "export { join } from 'node:path';\n", 'noRestrictedImports'],
    ['broker/a.ts', 'reads the environment', 'export const home = process.env.HOME;\n', 'noProcessEnv'],
  ] as const) {
    it(`refuse that ${path} ${what}`, async () => {
      const { code, output } = await lint({ [path]: text });
      expect(code, output).to.equal(1);
      expect(output).to.include(rule);
    });
  }

  it('refuse a file of more than 300 lines, but not a test', async () => {
    const long = Array.from({ length: 301 }, (_, i) => `export const n${i} = ${i};\n`).join('');
    expect((await lint({ 'workers/a.ts': long })).output).to.include('noExcessiveLinesPerFile');
    expect((await lint({ 'test/unit/a.test.ts': long })).code).to.equal(0);
  });
});
