import { readFile, rm, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Worker } from 'node:worker_threads';
import { expect } from 'chai';
import { RegistryFiles } from '../../backbone/registry/yaml/files.ts';
import { YamlRegistry, type YamlRegistryOptions } from '../../backbone/registry/yaml/registry.ts';
import { RegistryConflict, RegistryInvalid, RegistryUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import type { Change, Edit } from '../../telemetry/registry/registry.ts';
import { type Sensor, versionOf } from '../../telemetry/registry/things.ts';
import { editFile } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { rejection } from './numbered.ts';
import { registryContract } from './registry-contract.ts';

const HEAD = 'farms:\n  - { id: north, name: North, timezone: UTC }\nsensors:\n';
const line = (i: number, name = `Row ${i}`) =>
  `  - { id: s${i}, farm: north, name: ${name}, secret: ${hex(i)} } # ${i}\n`;
const hex = (i: number) => `b${i.toString(16).padStart(63, '0')}`;
const textOf = (sensors: number) => HEAD + Array.from({ length: sensors }, (_, i) => line(i)).join('');
const sensor = (id: string, more: object = {}): Edit => ({
  kind: 'sensor',
  id: `north/${id}`,
  value: { id, farm: 'north', ...more },
});

registryContract('YAML', async () => {
  const path = join(await temporaryFolder(), 'registry.yaml');
  // A file without any farm or user is refused.
  await writeFile(path, 'users: [{ name: first, farms: {} }]\n');
  return { open: () => YamlRegistry.open(path, { log: silent, here: true }), cleanup: async () => {} };
});

describe('the registry in a YAML file', () => {
  let path: string;
  let opened: YamlRegistry[];

  beforeEach(async () => {
    path = join(await temporaryFolder(), 'registry.yaml');
    await writeFile(path, textOf(3));
    opened = [];
  });
  afterEach(async () => {
    for (const one of opened) await one.close();
  });

  async function open(options: Partial<YamlRegistryOptions> = {}): Promise<YamlRegistry> {
    const registry = await YamlRegistry.open(path, { log: silent, here: true, ...options });
    opened.push(registry);
    return registry;
  }

  /** Everything that a registry tells from now on. */
  function told(registry: YamlRegistry): (readonly Change[])[] {
    const lots: (readonly Change[])[] = [];
    registry.watch((changes) => lots.push(changes));
    return lots;
  }

  const versionIn = (registry: YamlRegistry, id: string) => {
    const found = registry.current().sensor('north', id);
    return found && versionOf('sensor', `north/${id}`, found);
  };

  it('tells of an edit by hand what it changed, and no more, though a thousand sensors stand beside it', async () => {
    await writeFile(path, textOf(1_000));
    const registry = await open({ here: false });
    const lots = told(registry);
    const others = registry.current().sensors.filter(({ id }) => id !== 's7');
    await writeFile(
      path,
      `# by hand\n${textOf(1_000).replace('Row 7 ', 'Gate ').replace('Row 7,', 'Gate,')}${line(5_000)}`,
    );
    await until('it is told', () => lots.length > 0);
    expect(lots).to.have.length(1);
    const names = (one: Sensor | undefined) => one?.name;
    const brief = lots
      .flat()
      .map((change) => (change.kind === 'sensor' ? [change.id, names(change.before), names(change.after)] : []));
    expect(brief).to.deep.equal([
      ['north/s7', 'Row 7', 'Gate'],
      ['north/s5000', undefined, 'Row 5000'],
    ]);
    const after = new Set(registry.current().sensors);
    expect(
      others.filter((one) => !after.has(one)),
      'things that are not changed stay the same objects',
    ).to.deep.equal([]);
    const [change] = await registry.changes(0, 1);
    expect(change).to.include({ seq: 1, who: 'file', kind: 'sensor', when: Math.round((await stat(path)).mtimeMs) });
  });

  it('says of its own edits who made them, from any point on, and keeps the last thousand', async () => {
    const registry = await open();
    await registry.apply([sensor('a'), sensor('b')], 'ada');
    await registry.apply([{ ...sensor('a'), value: null }], 'bob');
    const brief = async (from: number, limit: number) =>
      (await registry.changes(from, limit)).map(({ seq, who, id, after }) => [seq, who, id, after !== undefined]);
    expect(await brief(0, 10)).to.deep.equal([
      [1, 'ada', 'north/a', true],
      [2, 'ada', 'north/b', true],
      [3, 'bob', 'north/a', false],
    ]);
    expect(await brief(1, 1)).to.deep.equal([[2, 'ada', 'north/b', true]]);
    await registry.apply(
      Array.from({ length: 1_200 }, (_, i) => sensor(`many-${i}`)),
      'eve',
    );
    expect((await brief(0, 10))[0]).to.deep.equal([204, 'eve', 'north/many-200', true]);
    expect(await brief(1_203, 10)).to.deep.equal([]);
  });

  it('makes an edit in force when it is kept: all of it or nothing, and only on what its editor saw', async () => {
    const registry = await open();
    const seen = versionIn(registry, 's1');
    const { versions } = await registry.apply(
      [
        { ...sensor('s1', { name: 'Gate' }), seen },
        { ...sensor('s2'), value: null },
      ],
      'ada',
    );
    expect(versions).to.deep.equal([versionIn(registry, 's1'), undefined]);
    expect(await readFile(path, 'utf8'))
      .to.include('Gate')
      .and.not.include('id: s2');
    const before = await readFile(path, 'utf8');
    const late = await rejection(registry.apply([sensor('new'), { ...sensor('s1'), seen }], 'bob'));
    expect(late)
      .to.be.instanceOf(RegistryConflict)
      .and.have.deep.property('conflicts', [{ kind: 'sensor', id: 'north/s1', seen, now: versions[0] }]);
    const wrong = await rejection(registry.apply([sensor('new'), sensor('other', { field: 'nowhere' })], 'bob'));
    expect(wrong).to.be.instanceOf(RegistryInvalid).and.have.deep.nested.property('place.path', ['field']);
    expect(await readFile(path, 'utf8')).to.equal(before);
    expect(registry.current().sensor('north', 'new')).to.equal(undefined);
  });

  it('puts into force what others wrote before it edits, also when the edit then changes nothing', async () => {
    const registry = await open();
    await writeFile(path, textOf(4));
    await registry.apply([], 'ada');
    expect(registry.current().sensorCount).to.equal(4);
    await writeFile(path, textOf(5));
    const conflict = await rejection(registry.apply([{ ...sensor('s4'), seen: null }], 'ada'));
    expect(conflict).to.be.instanceOf(RegistryConflict);
    expect(registry.current().sensorCount).to.equal(5);
  });

  it('takes an edit of another process when it looks for the first time', async () => {
    const looks: number[] = [];
    const files = new RegistryFiles({
      path,
      autoKinds: [],
      once: false,
      refused: () => {},
      say: () => {},
      changed: (changes) => looks.push(changes.length),
    });
    await files.open();
    await editFile(path, sensor('new'));
    await files.look();
    expect(looks).to.deep.equal([4, 1]);
    await writeFile(path, textOf(5));
    await files.look();
    expect(looks, 'what somebody else wrote is looked at again').to.have.length(2);
  });

  it('goes on with what it knows when its thread ends, says so, and catches up when there is another', async () => {
    const threads = watchThreads();
    try {
      const registry = await open({ here: false });
      const lots = told(registry);
      const [thread] = threads.seen;
      const edit = rejection(registry.apply([sensor('lost')], 'ada'));
      await thread?.terminate();
      expect(await edit).to.be.instanceOf(RegistryUnavailable);
      expect(registry.state.is).to.equal('down');
      expect(registry.health()).to.have.nested.property('[0].why').that.includes('thread');
      expect(registry.health()).to.have.nested.property('[0].optional', true);
      expect(registry.current().sensor('north', 's1')?.name).to.equal('Row 1');
      await writeFile(path, `${textOf(3).replace('Row 1', 'Gate')}`);
      await until('another one reads it', () => registry.state.is === 'up');
      expect(lots.flat().filter(({ id }) => id !== 'north/lost')).to.have.length(1);
      expect(registry.current().sensor('north', 's1')?.name).to.equal('Gate');
      await registry.apply([sensor('kept')], 'ada');
      expect(registry.current().sensor('north', 'kept')).not.to.equal(undefined);
    } finally {
      threads.stop();
    }
  });

  it('that was closed takes no edits', async () => {
    const registry = await open();
    await registry.close();
    expect(await rejection(registry.apply([sensor('a')], 'ada'))).to.be.instanceOf(Error);
    expect(registry.state.is).to.equal('closed');
  });

  describe('and what programs write in another', () => {
    const auto = () => path.replace('.yaml', '.auto.yaml');
    const codec = (id: string, text: string | null): Edit => ({
      kind: 'codec',
      id,
      value: text === null ? null : { id, text },
    });

    it('is kept beside it, and the file that people edit is not touched', async () => {
      const registry = await open({ autoKinds: ['codec'] });
      await registry.apply([codec('a.js', 'let a;'), codec('b.js', 'let b;')], 'ada');
      expect(await readFile(path, 'utf8')).to.equal(textOf(3));
      expect(await readFile(auto(), 'utf8'))
        .to.include('a.js')
        .and.include('not for editing');
      await registry.apply([codec('a.js', null), codec('b.js', 'let c;')], 'ada');
      expect(await readFile(auto(), 'utf8'))
        .to.include('let c')
        .and.not.include('a.js');
      const again = await open({ autoKinds: ['codec'] });
      expect([...again.current().codecs.values()]).to.deep.equal([{ id: 'b.js', text: 'let c;' }]);
      await rm(auto());
      await until('it is gone', () => registry.current().codecs.size === 0);
    });

    it('is edited where it stands, and in both files by one edit', async () => {
      await writeFile(path, `${textOf(3)}codecs:\n  - { id: hand.js, text: let a } # mine\n`);
      const registry = await open({ autoKinds: ['codec'] });
      await registry.apply(
        [codec('hand.js', 'let b'), codec('new.js', 'let n'), sensor('s1', { codec: 'new.js' })],
        'ada',
      );
      expect(await readFile(path, 'utf8'))
        .to.include('let b')
        .and.include('# mine')
        .and.include('codec: new.js');
      expect(await readFile(auto(), 'utf8'))
        .to.include('let n')
        .and.not.include('hand.js');
    });

    it('is refused with its own line, for a thing that does not belong there or is in both; the last good of both stays in force', async () => {
      const registry = await open({ autoKinds: ['codec'] });
      await registry.apply([codec('a.js', 'let a;')], 'ada');
      const good = await readFile(auto(), 'utf8');
      const bad = [
        `codecs:\n  - { id: a.js, text: x }\nusers:\n  - { name: eve, farms: { '*': admin } }\n`,
        'codecs:\n  - { id: a.js, text: x }\n\n  - { id: a.js, text: x }\n',
        'codecs:\n  - id: a.js\n    text: x\n    more: y\n',
      ];
      for (const text of bad) {
        await writeFile(auto(), text);
        const why = await until('it is refused', () => registry.health()[0]?.why);
        expect(why).to.include(`${auto()}:4`);
        expect(registry.current().codecs.get('a.js')?.text).to.equal('let a;');
        const restarted = await open({ autoKinds: ['codec'] });
        expect(restarted.current().codecs.get('a.js')?.text).to.equal('let a;');
        await writeFile(auto(), good);
        await until('it is mended', () => registry.state.is === 'up');
      }
    });
  });
});

/** Every thread that gets a message from now on. */
function watchThreads(): { readonly seen: Worker[]; stop(): void } {
  const seen: Worker[] = [];
  const original = Worker.prototype.postMessage;
  Worker.prototype.postMessage = function (this: Worker, ...given: Parameters<Worker['postMessage']>) {
    if (!seen.includes(this)) seen.push(this);
    return Reflect.apply(original, this, given);
  };
  return {
    seen,
    stop: () => {
      Worker.prototype.postMessage = original;
    },
  };
}
