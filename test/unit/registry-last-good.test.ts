import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, chown, mkdir, readdir, readFile, rename, rm, stat, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import pino from 'pino';
import { lockForEdit } from '../../backbone/files/edit-lock.ts';
import { YamlRegistry } from '../../backbone/registry/yaml/registry.ts';
import { RegistryInvalid, RegistryUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { hashSecret } from '../../core/secrets.ts';
import type { Edit } from '../../telemetry/registry/registry.ts';
import { rejection } from '../backbone/numbered.ts';
import { editFile } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';

const TEXT = 'farms:\n  - { id: north, name: North, timezone: Europe/Berlin }\nsensors: []\n';
const add = (id: string): Edit => ({
  kind: 'sensor',
  id: `north/${id}`,
  value: { id, farm: 'north', secret: hashSecret(id) },
});
const isRoot = process.geteuid?.() === 0;

describe('the last good registry', () => {
  let folder: string;
  let path: string;
  let copy: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
    path = join(folder, 'registry.yaml');
    copy = `${path}.last-good`;
    await writeFile(path, TEXT, { mode: 0o640 });
    await chmod(path, 0o640);
  });

  /** Opens the registry, and closes it again after `work`. */
  async function opened<T>(work: (file: YamlRegistry) => T | Promise<T>, log = silent): Promise<T> {
    const file = await YamlRegistry.open(path, { log, here: true });
    try {
      return await work(file);
    } finally {
      await file.close();
    }
  }
  const of = async (file: string) => {
    const { uid, gid, mode } = await stat(file);
    return { uid, gid, mode: mode & 0o777 };
  };

  it('is in force over a restart where the file is missing, empty, broken or cannot be read, and that is said until it is mended', async () => {
    await opened(() => {});
    await editFile(path, add('s1'));
    const breaks: (() => Promise<unknown>)[] = [
      () => rm(path),
      () => writeFile(path, ''),
      () => writeFile(path, '# nothing\n'),
      () => writeFile(path, 'farms: []\nusers: []\n'),
      () => writeFile(path, `${TEXT}users: nonsense\n`),
      () => rm(path).then(() => mkdir(path)),
      () => rm(path).then(() => symlink(join(folder, 'nowhere'), path)),
    ];
    for (const [i, breakIt] of breaks.entries()) {
      const text = await readFile(path);
      await breakIt();
      const lines: string[] = [];
      const log = pino({ level: 'info' }, { write: (line: string) => void lines.push(line) });
      await opened(async (file) => {
        expect(file.current().sensors.length, `${i}`).to.equal(1);
        expect(file.health()[0]).to.include({ name: 'registry', ok: false, optional: true });
        expect(file.health()[0]?.why).to.include(path).and.include('the last good registry stays in force');
        expect(await rejection(file.apply([add('s2')], 'test'))).to.be.instanceOf(RegistryInvalid);
        await rm(path, { recursive: true, force: true });
        await writeFile(path, text);
        await until(`${i}: it is mended`, () => file.state.is === 'up');
        expect(file.current().sensors.length).to.equal(1);
      }, log);
      expect(lines.filter((line) => line.includes('registry_refused'))).to.have.length(1);
    }
  });

  it('is the last that was in force: what somebody wrote, what Loam wrote, and not what was refused', async () => {
    await opened(async (file) => {
      expect(await readFile(copy, 'utf8')).to.equal(TEXT);
      const changed = TEXT.replace('North', 'Northern');
      await writeFile(path, changed);
      await until('it is kept', async () => (await readFile(copy, 'utf8')) === changed);
      await file.apply([add('s1')], 'test');
      expect(await readFile(copy, 'utf8')).to.equal(await readFile(path, 'utf8'));
      const kept = await readFile(copy, 'utf8');
      await writeFile(path, '');
      await until('it is refused', () => file.state.is !== 'up');
      expect(await readFile(copy, 'utf8')).to.equal(kept);
    });
  });

  it('is kept by an edit too while Loam does not run', async () => {
    await editFile(path, add('s1'));
    expect(await readFile(copy, 'utf8')).to.equal(await readFile(path, 'utf8'));
  });

  it('is no help where there is none, or none that is a registry: the start fails and says why the file is refused', async () => {
    await writeFile(path, '');
    for (const text of [undefined, '', 'farms: nonsense\n']) {
      if (text !== undefined) await writeFile(copy, text);
      const error = await rejection(YamlRegistry.open(path, { log: silent, here: true }));
      expect(error).to.be.instanceOf(RegistryInvalid);
      expect(String(error)).to.include('empty');
    }
  });

  it('is for the same eyes as the file, whoever wrote it', async () => {
    const [uid, gid] = isRoot ? [1234, 4321] : [process.geteuid?.() ?? -1, process.getegid?.() ?? -1];
    await chown(folder, uid, gid);
    await chown(path, uid, gid);
    await editFile(path, add('s1'));
    expect(await of(copy)).to.deep.equal({ uid, gid, mode: 0o640 });
    await chmod(path, 0o600);
    await editFile(path, add('s2'));
    expect(await of(copy)).to.deep.equal({ uid, gid, mode: 0o600 });
    expect(await of(path)).to.deep.equal({ uid, gid, mode: 0o600 });
  });

  it('is beside the link where the registry is one', async () => {
    await mkdir(join(folder, 'real'));
    await rename(path, join(folder, 'real', 'farm.yaml'));
    await symlink(join('real', 'farm.yaml'), path);
    await opened(() => {});
    expect(await readFile(copy, 'utf8')).to.equal(TEXT);
    expect(await of(copy)).to.deep.equal(await of(path));
    await rm(join(folder, 'real'), { recursive: true });
    await opened((file) => expect(file.current().farms.size).to.equal(1));
  });
});

describe('the lock of a registry that is edited', () => {
  let path: string;
  let folder: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
    path = join(folder, 'registry.yaml');
    await writeFile(path, TEXT);
  });

  it('holds nobody up that was left by a process that died, whatever is in it', async () => {
    const held = `const { tryLock } = require('fs-native-extensions');
      const file = require('fs').openSync(${JSON.stringify(`${path}.lock`)}, 'w+');
      tryLock(file); console.log('held'); setInterval(() => {}, 1000);`;
    const holder = spawn(process.execPath, ['-e', held], { stdio: ['ignore', 'pipe', 'inherit'] });
    await once(holder.stdout, 'data');
    expect(await lockForEdit(path, 0)).to.equal(undefined);
    holder.kill('SIGKILL');
    await once(holder, 'close');
    expect(await readdir(folder)).to.include('registry.yaml.lock');
    const release = await lockForEdit(path, 0);
    expect(release).not.to.equal(undefined);
    release?.();
    expect(await readdir(folder)).to.deep.equal(['registry.yaml']);
  });

  it('is one editor’s at a time, and nothing is left of it', async () => {
    let inside = 0;
    let most = 0;
    await Promise.all(
      Array.from({ length: 8 }, async () => {
        for (let round = 0; round < 20; round++) {
          const release = await lockForEdit(path, 20_000);
          most = Math.max(most, ++inside);
          await new Promise((resolve) => setImmediate(resolve));
          inside--;
          release?.();
        }
      }),
    );
    expect(most).to.equal(1);
    expect(await readdir(folder)).to.deep.equal(['registry.yaml']);
  });

  it('is not taken through a link, which would be written where it leads', async () => {
    await symlink(join(folder, 'elsewhere'), `${path}.lock`);
    const error = await rejection(editFile(path, add('s1')));
    expect(error).to.be.instanceOf(RegistryUnavailable);
    expect(await readdir(folder)).not.to.include('elsewhere');
  });
});
