import { mkdir, readFile, rm, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { YamlRegistry } from '../../backbone/registry/yaml/registry.ts';
import { lookAtRegistry } from '../../backbone/repair/registry-part.ts';
import { RegistryInvalid } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import type { Change } from '../../telemetry/registry/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { rejection } from './numbered.ts';

const TEXT = `farms: [{ id: north, name: North, timezone: UTC }]
codecs: # of makers
  - { id: own.js, text: "own" }
  - { id: lse01.js, file: codecs/lse01.js } # ours
`;

describe('codecs in files that the registry names', () => {
  let folder: string;
  let path: string;
  let file: string;
  let opened: YamlRegistry[];

  beforeEach(async () => {
    folder = await temporaryFolder();
    path = join(folder, 'registry.yaml');
    file = join(folder, 'codecs', 'lse01.js');
    await mkdir(join(folder, 'codecs'));
    await writeFile(file, 'first');
    await writeFile(path, TEXT);
    opened = [];
  });
  afterEach(async () => {
    for (const one of opened) await one.close();
  });

  async function open(): Promise<YamlRegistry> {
    const registry = await YamlRegistry.open(path, { log: silent, here: true });
    opened.push(registry);
    return registry;
  }
  const textIn = (registry: YamlRegistry) => registry.current().codecs.get('lse01.js')?.text;

  it('are things with that text, and a changed file comes into force as a change', async () => {
    const registry = await open();
    expect(textIn(registry)).to.equal('first');
    const told: Change[] = [];
    registry.watch((changes) => told.push(...changes));
    await writeFile(file, 'other');
    await until('it is told', () => told.length > 0);
    expect(told).to.deep.equal([
      {
        kind: 'codec',
        id: 'lse01.js',
        before: { id: 'lse01.js', text: 'first' },
        after: { id: 'lse01.js', text: 'other' },
      },
    ]);
    expect(textIn(registry)).to.equal('other');
  });

  it('that were written a moment ago are read again, for another edit may leave time and length as they are', async () => {
    // As long as the test may take, it is a moment ago.
    const soon = new Date(Date.now() + 3_600_000);
    await utimes(file, soon, soon);
    const registry = await open();
    await writeFile(file, 'FIRST');
    await utimes(file, soon, soon);
    await until('it is in force', () => textIn(registry) === 'FIRST');
  });

  it('that are gone refuse the registry with the line, and what was in force stays, also over a restart', async () => {
    const registry = await open();
    await rm(file);
    await until('it is refused', () => registry.health()[0]?.ok === false);
    expect(registry.health()[0]?.why).to.include(`${path}:4: codecs.1.file: codecs/lse01.js`);
    expect(textIn(registry)).to.equal('first');
    await registry.close();
    const again = await open();
    expect(textIn(again)).to.equal('first');
    await writeFile(file, 'mended');
    await until('it is in force', () => textIn(again) === 'mended');
    expect(again.health()[0]?.ok).to.equal(true);
  });

  it('refuse a first start when one is no file, or too large', async () => {
    await writeFile(file, 'x'.repeat(1024 ** 2 + 1));
    expect(await rejection(open()))
      .to.be.instanceOf(RegistryInvalid)
      .with.property('line', 4);
    await rm(file);
    await mkdir(file);
    expect(await rejection(open()))
      .to.be.instanceOf(RegistryInvalid)
      .with.property('line', 4);
  });

  it('stay when others are edited; an edit of their text puts it into the registry, and comments stay', async () => {
    const registry = await open();
    await registry.apply([{ kind: 'codec', id: 'own.js', value: { id: 'own.js', text: 'a\nb\n' } }], 'ada');
    expect(await readFile(path, 'utf8')).to.include('{ id: lse01.js, file: codecs/lse01.js } # ours');
    await registry.apply([{ kind: 'codec', id: 'lse01.js', value: { id: 'lse01.js', text: 'edited' } }], 'ada');
    const text = await readFile(path, 'utf8');
    expect(text).to.include('# of makers').and.include('# ours').and.not.include('file:');
    expect(await readFile(file, 'utf8')).to.equal('first');
    await registry.close();
    expect(textIn(await open())).to.equal('edited');
  });

  it('known by another process that edits are taken at once, with its edit', async () => {
    const [one, other] = [await open(), await open()];
    await one.apply([{ kind: 'farm', id: 'east', value: { id: 'east', name: 'East', timezone: 'UTC' } }], 'ada');
    await other.apply([{ kind: 'farm', id: 'west', value: { id: 'west', name: 'West', timezone: 'UTC' } }], 'bob');
    expect([...other.current().farms.keys()]).to.deep.equal(['north', 'east', 'west']);
    expect(textIn(other)).to.equal('first');
  });

  it('are put back by a repair, as they were when they were last in force', async () => {
    await (await open()).close();
    await rm(file);
    const { findings } = await lookAtRegistry(path);
    const [damaged] = findings;
    expect(damaged?.is).to.equal('damaged');
    await damaged?.mend?.run(async () => {});
    expect(await readFile(file, 'utf8')).to.equal('first');
    expect((await lookAtRegistry(path)).findings.map(({ is }) => is)).to.deep.equal(['whole']);
  });
});
