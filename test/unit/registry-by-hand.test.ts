import { writeFileSync } from 'node:fs';
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { RegistryFiles } from '../../backbone/registry/yaml/files.ts';
import { YamlRegistry } from '../../backbone/registry/yaml/registry.ts';
import { explain, RegistryInvalid, RegistryUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import type { Edit } from '../../telemetry/registry/registry.ts';
import { RegistryState } from '../../telemetry/registry/state.ts';
import { rejection } from '../backbone/numbered.ts';
import { editFile } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';

const TEXT = `# our farm
farms:
  - { id: north, name: North, timezone: UTC } # the old one
sensors:
  - { id: s1, farm: north }
`;
const put = (id: string, more: object = {}): Edit => ({
  kind: 'sensor',
  id: `north/${id}`,
  value: { id, farm: 'north', ...more },
});
const remove = (id: string): Edit => ({ kind: 'sensor', id: `north/${id}`, value: null });

describe('a registry that a person writes while programs edit it', () => {
  let path: string;

  beforeEach(async () => {
    path = join(await temporaryFolder(), 'registry.yaml');
    await writeFile(path, TEXT);
  });

  /** An edit during which somebody saves the file, at each of its attempts. */
  function duringWhich(save: (attempt: number) => void): Edit {
    let attempt = 0;
    return {
      kind: 'sensor',
      id: 'north/s2',
      get value() {
        save(attempt++);
        return { id: 's2', farm: 'north' };
      },
    };
  }

  it('loses nothing that is saved while an edit is made: the edit is made in what was saved', async () => {
    const saved = `${TEXT}  - { id: by-hand, farm: north } # of today\n`;
    await editFile(
      path,
      duringWhich((attempt) => {
        if (attempt === 0) writeFileSync(path, saved);
      }),
    );
    const text = await readFile(path, 'utf8');
    expect(text).to.include('# of today');
    expect(parseRegistry(text).sensors.map(({ id }) => id)).to.deep.equal(['s1', 'by-hand', 's2']);
  });

  it('is left alone by an edit when somebody saves it again and again', async () => {
    const last: string[] = [];
    const save = (attempt: number) => {
      last[0] = `${TEXT}# ${attempt}\n`;
      writeFileSync(path, last[0]);
    };
    const error = await rejection(editFile(path, duringWhich(save)));
    expect(error).to.be.instanceOf(RegistryUnavailable);
    expect(await readFile(path, 'utf8')).to.equal(last[0]);
  });

  it('that is refused is not read anew until it is another one', async () => {
    class Counting extends RegistryState {
      checks = 0;
      override check(edits: readonly Edit[]) {
        this.checks += 1;
        return super.check(edits);
      }
    }
    const known = new Counting();
    let why: string | undefined;
    const refused = (now: string | undefined) => {
      why = now;
    };
    const options = { path, autoKinds: [], once: false, changed: () => {}, refused, say: () => {} };
    const files = new RegistryFiles(options, known);
    const lookUntil = (what: string, isSo: () => boolean) =>
      until(what, async () => {
        await files.look();
        return isSo();
      });
    await files.open();
    const broken = `${TEXT}  - { id: s2, farm: nowhere }\n`;
    await writeFile(path, broken);
    await lookUntil('it is refused', () => why !== undefined);
    const [said, { checks }] = [why, known];
    for (let look = 0; look < 5; look++) await files.look();
    await rm(path);
    await lookUntil('it is gone', () => why !== said);
    await writeFile(path, broken);
    await lookUntil('it is refused as before', () => why === said);
    expect(known.checks).to.equal(checks);
    await writeFile(path, TEXT.replace('North', 'Northern'));
    await lookUntil('it is mended', () => why === undefined);
    expect(known.farms.get('north')?.name).to.equal('Northern');
  });

  it('is refused with its line when it is no UTF-8, and is not written over', async () => {
    const latin = Buffer.from(TEXT.replace('North', 'Müller'), 'latin1');
    await writeFile(path, latin);
    const error = await rejection(YamlRegistry.open(path, { log: silent, here: true }));
    expect(error).to.be.instanceOf(RegistryInvalid).and.include({ line: 3, file: path });
    await writeFile(path, TEXT);
    const registry = await YamlRegistry.open(path, { log: silent, here: true });
    try {
      await writeFile(path, latin);
      expect(await rejection(registry.apply([put('s2')], 'test'))).to.be.instanceOf(RegistryInvalid);
      expect(await readFile(path)).to.deep.equal(latin);
      await mkdir(join(path, '..', 'codecs'));
      await writeFile(join(path, '..', 'codecs', 'a.js'), Buffer.from('// Höhe', 'latin1'));
      await writeFile(path, `${TEXT}codecs: [{ id: a.js, file: codecs/a.js }]\n`);
      expect(String(await rejection(registry.apply([put('s2')], 'test')))).to.include('codecs/a.js: it is not UTF-8');
    } finally {
      await registry.close();
    }
  });

  it('keeps its line ends and its mark of UTF-8', async () => {
    const written = `\uFEFF${TEXT}codecs:\n  - id: a.js\n    text: |\n      // one\n      // two\n`.replaceAll(
      '\n',
      '\r\n',
    );
    await writeFile(path, written);
    await editFile(path, put('s2'));
    const edited = await readFile(path, 'utf8');
    expect(edited.replace('  - id: s2\r\n    farm: north\r\n', '')).to.equal(written);
    expect(parseRegistry(edited).codecs.get('a.js')?.text).to.equal('// one\n// two\n');
  });

  it('takes every text at an edit, whatever would be another one in YAML as it stands', async () => {
    await writeFile(path, `${TEXT}codecs:\n  - id: a.js\n    text: |\n      // one\n`);
    for (const text of ['  \n', '\n \n', '   ', '?\ntrue]', '# a\n- b', 'a\r\n \nb'.padEnd(60, '-'), 'a\n  b {}\n']) {
      const codec = { id: 'a.js', text };
      await editFile(path, put('s1', { name: text }), { kind: 'codec', id: 'a.js', value: codec });
      const registry = parseRegistry(await readFile(path, 'utf8'));
      expect([registry.sensor('north', 's1')?.name, registry.codecs.get('a.js')]).to.deep.equal([text, codec]);
    }
  });

  it('may have anchors: what others mean by an alias is not removed, and the error says so', async () => {
    const written = `${TEXT}  - { id: s2, farm: north, rate: &slow { messages: 5 } }
  - { id: s3, farm: north, rate: *slow }
`;
    await writeFile(path, written);
    const error = await rejection(editFile(path, remove('s2')));
    expect(error).to.be.instanceOf(RegistryInvalid).and.property('message').includes('alias');
    expect(await readFile(path, 'utf8')).to.equal(written);
    await editFile(path, put('s3', { rate: { messages: 7 } }));
    await editFile(path, remove('s2'));
    expect(parseRegistry(await readFile(path, 'utf8')).sensor('north', 's3')?.rate).to.deep.equal({ messages: 7 });
  });

  it('may mean one thing in hundreds of places; more aliases than are looked up in good time are refused', () => {
    const sensors = (count: number) =>
      Array.from({ length: count }, (_, i) => `  - { id: a${i}, farm: north, rate: *slow }\n`).join('');
    const text = (count: number) =>
      `${TEXT}  - { id: s2, farm: north, rate: &slow { messages: 5 } }\n${sensors(count)}`;
    expect(parseRegistry(text(500)).sensor('north', 'a499')?.rate).to.deep.equal({ messages: 5 });
    expect(() => parseRegistry(text(10_001)))
      .to.throw(RegistryInvalid)
      .with.property('message')
      .that.includes('more than 10000 aliases');
  });

  it('that is broken is named once, without what stands in it: that may be a hash', () => {
    const error = (() => {
      try {
        return parseRegistry(`${TEXT}users:\n  - { name: ada, password: "scrypt$hidden$", name: bob, farms: {} }\n`);
      } catch (thrown) {
        return thrown;
      }
    })();
    expect(error).to.be.instanceOf(RegistryInvalid).and.include({ line: 7 });
    expect(explain(error)).to.equal('Map keys must be unique');
  });
});
