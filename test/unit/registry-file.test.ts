import { execFileSync } from 'node:child_process';
import {
  chmod,
  chown,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  rm,
  stat,
  symlink,
  truncate,
  writeFile,
} from 'node:fs/promises';
import { join } from 'node:path';
import { Writable } from 'node:stream';
import { expect } from 'chai';
import pino from 'pino';
import { YamlRegistry } from '../../backbone/registry/yaml/registry.ts';
import { RegistryConflict, RegistryInvalid, RegistryUnavailable } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { replaceFile } from '../../core/replace-file.ts';
import { hashSecret } from '../../core/secrets.ts';
import { pause } from '../../core/timing.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import type { Edit } from '../../telemetry/registry/registry.ts';
import { rejection } from '../backbone/numbered.ts';
import { shortOrLong, someOf } from '../services/length.ts';
import { editFile } from '../services/registry.ts';
import { temporaryFolder, until } from '../services/wait.ts';

const TEXT = `# our farm
farms:
  - { id: north, name: North, timezone: Europe/Berlin } # the old one
sensors: []
`;

const add = (id: string): Edit => ({
  kind: 'sensor',
  id: `north/${id}`,
  seen: null,
  value: { id, farm: 'north', secret: hashSecret(id) },
});
const remove = (id: string): Edit => ({ kind: 'sensor', id: `north/${id}`, value: null });
const putUser = (user: { name: string } & Record<string, unknown>): Edit => ({
  kind: 'user',
  id: user.name,
  value: user,
});

describe('the registry file', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
    path = join(folder, 'registry.yaml');
    await writeFile(path, TEXT);
  });

  it('what is no file, or is too long for a registry, is refused without being read', async () => {
    const opened = async () => String(await rejection(YamlRegistry.open(path, { log: silent, here: true })));
    await rm(path);
    execFileSync('mkfifo', [path]);
    expect(await opened()).to.include('is not a file');
    await rm(path);
    await writeFile(path, TEXT);
    await truncate(path, 2 ** 30);
    expect(await opened()).to.include('at most');
  });

  it('keeps comments when a sensor is added and removed', async () => {
    await editFile(path, add('s1'));
    expect(await readFile(path, 'utf8'))
      .to.contain('# our farm')
      .and.to.contain('# the old one')
      .and.to.contain('id: s1');
    await editFile(path, remove('s1'));
    expect(await readFile(path, 'utf8'))
      .to.contain('# the old one')
      .and.not.to.contain('s1');
  });

  it('is as it was after an edit that would break it', async () => {
    const error = await rejection(
      editFile(path, { ...add('s1'), value: { id: 's1', farm: 'north', field: 'nowhere' } }),
    );
    expect(error).to.be.instanceOf(RegistryInvalid);
    expect(await readFile(path, 'utf8')).to.equal(TEXT);
    expect(await readdir(folder)).to.deep.equal(['registry.yaml']);
  });

  it('loses no edit of twenty editors at once', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => editFile(path, add(`s${i}`))));
    const file = await YamlRegistry.open(path, { log: silent, here: true });
    expect(file.current().sensors.length).to.equal(20);
    await file.close();
  });

  it('tells its watchers of a change that somebody else wrote', async () => {
    const file = await YamlRegistry.open(path, { log: silent, here: true });
    try {
      let told = 0;
      file.watch(() => {
        told = file.current().sensors.length;
      });
      await editFile(path, add('s1'));
      await until('the watcher is told', () => told === 1);
      expect(file.current().sensor('north', 's1') !== undefined).to.equal(true);
    } finally {
      await file.close();
    }
  });

  it('does not take half of a text that somebody is still writing', async () => {
    await editFile(path, add('s1'));
    await editFile(path, add('s2'));
    const whole = await readFile(path, 'utf8');
    const half = whole.slice(0, whole.lastIndexOf('  - '));
    const file = await YamlRegistry.open(path, { log: silent, here: true });
    const told: number[] = [];
    file.watch(() => told.push(file.current().sensors.length));
    try {
      // Each for half a second: some polls, one a second, see one of them, and none sees the same again.
      for (let i = 0; i < shortOrLong(2, 5); i++) {
        await writeFile(path, `${half}# ${i}\n`);
        await pause(500);
        await writeFile(path, whole);
        await pause(800);
      }
      expect(told).to.deep.equal([]);
      await writeFile(path, half);
      await until('what stays is taken', () => told.at(-1) === 1);
    } finally {
      await file.close();
    }
  });

  it('stays in force when a bad edit is saved over it, says once why, and takes up the next good one', async () => {
    const lines: string[] = [];
    const sink = new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) });
    const file = await YamlRegistry.open(path, { log: pino(sink), here: true });
    const complaints = () => lines.filter((line) => line.includes('stays in force'));
    try {
      await writeFile(path, `${TEXT}users: nonsense\n`);
      await until('the bad edit is refused', () => complaints().length > 0);
      expect(complaints()[0]).to.contain('registry.yaml:5');
      expect(file.current().farms.get('north')?.name).to.equal('North');
      await writeFile(path, TEXT.replace('North', 'Northern'));
      await until('the good edit is taken up', () => file.current().farms.get('north')?.name === 'Northern');
      expect(complaints()).to.have.length(1);
    } finally {
      await file.close();
    }
  });

  const EMPTY = ['', ' \n\n', '# nothing but this\n', '{}', 'null\n', 'farms: []\nusers: []\n'];

  it('stays in force, and says so by name until it is mended, when the file is emptied, cannot be read, or goes away', async () => {
    const file = await YamlRegistry.open(path, { log: silent, here: true });
    try {
      const health = () => file.health()[0] ?? { name: '', ok: false };
      expect(health()).to.deep.include({ name: 'registry', ok: true, optional: true });
      const told: number[] = [];
      file.watch(() => told.push(file.current().farms.size));
      const breaks: (() => Promise<unknown>)[] = [
        ...EMPTY.map((text) => () => writeFile(path, text)),
        () => rm(path),
        () => rm(path).then(() => mkdir(path)),
        () => rm(path).then(() => symlink(join(folder, 'nowhere'), path)),
      ];
      for (const [i, breakIt] of someOf(breaks, 4).entries()) {
        await breakIt();
        const said = await until(`${i}: it is said`, () => !health().ok && health());
        expect(said).to.include({ name: 'registry', optional: true });
        expect(said.why).to.include(path).and.to.include('in force');
        expect(file.current().farms.size).to.equal(1);
        await rm(path, { recursive: true, force: true });
        await writeFile(path, TEXT);
        await until(`${i}: it is mended`, () => health().ok);
      }
      expect(told).to.deep.equal([]);
    } finally {
      await file.close();
    }
  });

  it('that is empty is refused at the start, and not made one by an edit', async () => {
    for (const text of EMPTY) {
      await writeFile(path, text);
      expect(
        await rejection(YamlRegistry.open(path, { log: silent, here: true })),
        JSON.stringify(text),
      ).to.be.instanceOf(RegistryInvalid);
      const put = putUser({ name: 'anna', farms: { '*': 'admin' } });
      expect(await rejection(editFile(path, put))).to.be.instanceOf(RegistryInvalid);
      expect(await readFile(path, 'utf8')).to.equal(text);
    }
    expect(await readdir(folder)).to.deep.equal(['registry.yaml']);
  });

  it('stays a link, and where it leads to, when it is edited', async () => {
    const real = join(folder, 'real');
    await mkdir(real);
    await rename(path, join(real, 'farm.yaml'));
    await symlink(join('real', 'farm.yaml'), path);
    await editFile(path, add('s1'));
    expect((await lstat(path)).isSymbolicLink()).to.equal(true);
    expect(await readFile(join(real, 'farm.yaml'), 'utf8')).to.include('id: s1');
    expect(await readdir(real)).to.deep.equal(['farm.yaml']);
  });

  it('keeps its mode when it is edited', async () => {
    for (const mode of [0o600, 0o640, 0o644]) {
      await chmod(path, mode);
      await editFile(path, add(`s${mode}`));
      expect((await stat(path)).mode & 0o777).to.equal(mode);
    }
  });

  // Only root can give files away; for anybody else these are their own.
  const isRoot = process.geteuid?.() === 0;
  const uid = isRoot ? 1234 : (process.geteuid?.() ?? -1);
  const gid = isRoot ? 4321 : (process.getegid?.() ?? -1);
  const stateSince = async (file: string) => {
    const found = await stat(file);
    return { uid: found.uid, gid: found.gid, mode: found.mode & 0o777 };
  };

  it('keeps its owner when root edits it, and a new file is the folder owner’s, for their eyes only', async () => {
    await chown(folder, uid, gid);
    await chown(path, uid, gid);
    await chmod(path, 0o640);
    await editFile(path, add('s1'));
    expect(await stateSince(path)).to.deep.equal({ uid, gid, mode: 0o640 });
    const made = join(folder, 'secret');
    await replaceFile(made, 'x');
    expect(await stateSince(made)).to.deep.equal({ uid, gid, mode: 0o600 });
    // A link that the folder's owner put there opens nothing, and nothing behind it is written.
    const link = join(folder, 'link');
    await symlink(path, link);
    await replaceFile(link, 'x');
    expect((await lstat(link)).isSymbolicLink()).to.equal(false);
    expect(await stateSince(link)).to.deep.equal({ uid, gid, mode: 0o600 });
    expect(await readFile(path, 'utf8')).to.include('id: s1');
  });

  it('is not taken from its owner by another user who may write to its folder; what is root’s may be', async () => {
    if (!isRoot) return;
    await chmod(folder, 0o777);
    await chown(path, uid, gid);
    const asAnother = async (work: () => Promise<unknown>) => {
      process.seteuid?.(2345);
      try {
        return await work();
      } finally {
        process.seteuid?.(0);
      }
    };
    await chmod(path, 0o644);
    const error = await asAnother(() => rejection(editFile(path, add('s1'))));
    expect(error).to.be.instanceOf(RegistryUnavailable);
    expect(await stateSince(path)).to.deep.equal({ uid, gid, mode: 0o644 });
    expect(await readFile(path, 'utf8')).to.equal(TEXT);
    expect(await readdir(folder)).to.deep.equal(['registry.yaml']);
    await chown(path, 0, 0);
    await asAnother(() => editFile(path, add('s1')));
    expect(await stateSince(path)).to.include({ uid: 2345, mode: 0o644 });
  });

  it('refuses a second sensor of the same id and the removal of what is not there', async () => {
    await editFile(path, add('s1'));
    expect(await rejection(editFile(path, add('s1')))).to.be.instanceOf(RegistryConflict);
    expect(await rejection(editFile(path, remove('s9')))).to.be.instanceOf(RegistryInvalid);
    expect(await rejection(editFile(path, { kind: 'user', id: 'anna', value: null }))).to.be.instanceOf(
      RegistryInvalid,
    );
  });

  it('puts a user there, and puts another role in its place', async () => {
    await editFile(path, putUser({ name: 'anna', farms: { north: 'viewer' } }));
    await editFile(path, putUser({ name: 'anna', farms: { north: 'admin' } }));
    const text = await readFile(path, 'utf8');
    expect(text.match(/anna/g)).to.have.length(1);
    expect(text).to.contain('admin').and.not.to.contain('viewer');
  });

  it('keeps what is not changed as it is written: comments, order, short forms, and keys at their defaults', async () => {
    const written = `# our farm
farms:
  - { id: north, name: North, timezone: Europe/Berlin } # the old one
rates: { sensor: { messages: 5 } } # slow
sensors:
  # by the gate
  - id: s2   # the second
    name: "Row: 2"
    farm: north
    rate: { messages: 2, # often wet
      burst: 5 }
  - { farm: north, id: s1, role: sensor }
users:
  - name: anna # the boss
    farms: { north: viewer, "*": agronomist } # for now
`;
    await writeFile(path, written);
    const anna = { name: 'anna', farms: { north: 'admin', '*': 'agronomist' } };
    await editFile(
      path,
      {
        kind: 'sensor',
        id: 'north/s2',
        value: { id: 's2', farm: 'north', name: 'Row: 2', rate: { messages: 3, burst: 5 } },
      },
      { kind: 'setting', id: 'rates', value: { id: 'rates', sensor: { messages: 6 } } },
      putUser(anna),
    );
    const expected = written
      .replace('messages: 2, # often wet\n      burst: 5', 'messages: 3, # often wet\n      burst: 5')
      .replace('messages: 5', 'messages: 6')
      .replace('north: viewer', 'north: admin');
    const edited = await readFile(path, 'utf8');
    const squeezed = (text: string) => text.replace(/\s+/g, ' ');
    expect(squeezed(edited)).to.equal(squeezed(expected));
    expect(parseRegistry(edited).users.get('anna')).to.deep.equal(anna);
  });

  it('is not edited where a change would touch more than it is to: what stands there by an alias', async () => {
    const written = `farms: [{ id: north, name: North, timezone: UTC }]
sensors:
  - &one { id: s1, farm: north, interval: 60, aliases: &names { t: soil_temperature } }
  - { id: s2, farm: north, aliases: *names }
`;
    await writeFile(path, written);
    const value = { id: 's1', farm: 'north', interval: 60, aliases: { t: 'air_temperature' } };
    const error = await rejection(editFile(path, { kind: 'sensor', id: 'north/s1', value }));
    expect(error).to.be.instanceOf(RegistryInvalid);
    expect(await readFile(path, 'utf8')).to.equal(written);
  });
});
