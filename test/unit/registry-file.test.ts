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
import { parse } from 'yaml';
import { editRegistryFile } from '../../backbone/registry/edit.ts';
import { RegistryFile } from '../../backbone/registry/file.ts';
import { RegistryInvalid } from '../../core/errors.ts';
import { silent } from '../../core/logger.ts';
import { replaceFile } from '../../core/replace-file.ts';
import { hashSecret } from '../../core/secrets.ts';
import { pause } from '../../core/timing.ts';
import { addSensor, putUser, removeSensor, removeUser, setPassword } from '../../telemetry/registry-edit.ts';
import { temporaryFolder, until } from '../services/wait.ts';

const TEXT = `# our farm
farms:
  - { id: north, name: North, timezone: Europe/Berlin } # the old one
sensors: []
`;

async function rejection(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('the registry file', () => {
  let folder: string;
  let path: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
    path = join(folder, 'registry.yaml');
    await writeFile(path, TEXT);
  });

  const add = (id: string) => (text: string) => addSensor(text, { id, farm: 'north', secret: hashSecret(id) });

  it('what is no file, or is too long for a registry, is refused without being read', async () => {
    await rm(path);
    execFileSync('mkfifo', [path]);
    expect(String(await rejection(RegistryFile.read(path, silent)))).to.include('is not a file');
    await rm(path);
    await writeFile(path, TEXT);
    await truncate(path, 2 ** 30);
    expect(String(await rejection(RegistryFile.read(path, silent)))).to.include('at most');
  });

  it('keeps comments when a sensor is added and removed', async () => {
    await editRegistryFile(path, add('s1'));
    expect(await readFile(path, 'utf8'))
      .to.contain('# our farm')
      .and.to.contain('# the old one')
      .and.to.contain('id: s1');
    await editRegistryFile(path, (text) => removeSensor(text, 'north', 's1'));
    expect(await readFile(path, 'utf8'))
      .to.contain('# the old one')
      .and.not.to.contain('s1');
  });

  it('is as it was after an edit that would break it', async () => {
    const error = await rejection(editRegistryFile(path, (text) => addSensor(text, { id: 's1', farm: 'nowhere' })));
    expect(error).to.be.instanceOf(RegistryInvalid);
    expect(await readFile(path, 'utf8')).to.equal(TEXT);
    expect(await readdir(folder)).to.deep.equal(['registry.yaml']);
  });

  it('loses no edit of twenty editors at once', async () => {
    await Promise.all(Array.from({ length: 20 }, (_, i) => editRegistryFile(path, add(`s${i}`))));
    const file = await RegistryFile.open(path, silent);
    file.close();
    expect(file.current().sensors.length).to.equal(20);
  });

  it('tells its watchers of a change that somebody else wrote', async () => {
    const file = await RegistryFile.open(path, silent);
    try {
      let told = 0;
      file.watch((registry) => {
        told = registry.sensors.length;
      });
      await editRegistryFile(path, add('s1'));
      await until('the watcher is told', () => told === 1);
      expect(file.current().sensor('north', 's1') !== undefined).to.equal(true);
    } finally {
      file.close();
    }
  });

  it('does not take half of a text that somebody is still writing', async () => {
    await editRegistryFile(path, add('s1'));
    await editRegistryFile(path, add('s2'));
    const whole = await readFile(path, 'utf8');
    const half = whole.slice(0, whole.lastIndexOf('  - '));
    const file = await RegistryFile.open(path, silent);
    const told: number[] = [];
    file.watch((registry) => told.push(registry.sensors.length));
    try {
      // Each for half a second: some polls, one a second, see one of them, and none sees the same again.
      for (let i = 0; i < 5; i++) {
        await writeFile(path, `${half}# ${i}\n`);
        await pause(500);
        await writeFile(path, whole);
        await pause(800);
      }
      expect(told).to.deep.equal([]);
      await writeFile(path, half);
      await until('what stays is taken', () => told.at(-1) === 1);
    } finally {
      file.close();
    }
  });

  it('stays in force when a bad edit is saved over it, says once why, and takes up the next good one', async () => {
    const lines: string[] = [];
    const sink = new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) });
    const file = await RegistryFile.open(path, pino(sink));
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
      file.close();
    }
  });

  const EMPTY = ['', ' \n\n', '# nothing but this\n', '{}', 'null\n', 'farms: []\nusers: []\n'];

  it('stays in force, and says so by name until it is mended, when the file is emptied, cannot be read, or goes away', async () => {
    const file = await RegistryFile.open(path, silent);
    try {
      expect(file.health()).to.deep.include({ name: 'registry', ok: true, optional: true });
      const told: number[] = [];
      file.watch(({ farms }) => told.push(farms.size));
      const breaks: (() => Promise<unknown>)[] = [
        ...EMPTY.map((text) => () => writeFile(path, text)),
        () => rm(path),
        () => rm(path).then(() => mkdir(path)),
        () => rm(path).then(() => symlink(join(folder, 'nowhere'), path)),
      ];
      for (const [i, breakIt] of breaks.entries()) {
        await breakIt();
        const health = await until(`${i}: it is said`, () => !file.health().ok && file.health());
        expect(health).to.include({ name: 'registry', optional: true });
        expect(health.why).to.include(path).and.to.include('in force');
        expect(file.current().farms.size).to.equal(1);
        await rm(path, { recursive: true, force: true });
        await writeFile(path, TEXT);
        await until(`${i}: it is mended`, () => file.health().ok);
      }
      expect(told).to.deep.equal([]);
    } finally {
      file.close();
    }
  });

  it('that is empty is refused at the start, and not made one by an edit', async () => {
    for (const text of EMPTY) {
      await writeFile(path, text);
      expect(await rejection(RegistryFile.open(path, silent)), JSON.stringify(text)).to.be.instanceOf(RegistryInvalid);
      const put = (before: string) => putUser(before, { name: 'anna', farms: { '*': 'admin' } });
      expect(await rejection(editRegistryFile(path, put))).to.be.instanceOf(RegistryInvalid);
      expect(await readFile(path, 'utf8')).to.equal(text);
    }
    expect(await readdir(folder)).to.deep.equal(['registry.yaml']);
  });

  it('stays a link, and where it leads to, when it is edited', async () => {
    const real = join(folder, 'real');
    await mkdir(real);
    await rename(path, join(real, 'farm.yaml'));
    await symlink(join('real', 'farm.yaml'), path);
    await editRegistryFile(path, add('s1'));
    expect((await lstat(path)).isSymbolicLink()).to.equal(true);
    expect(await readFile(join(real, 'farm.yaml'), 'utf8')).to.include('id: s1');
    expect(await readdir(real)).to.deep.equal(['farm.yaml']);
  });

  it('keeps its mode when it is edited', async () => {
    for (const mode of [0o600, 0o640, 0o644]) {
      await chmod(path, mode);
      await editRegistryFile(path, add(`s${mode}`));
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
    await editRegistryFile(path, add('s1'));
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
    const error = await asAnother(() => rejection(editRegistryFile(path, add('s1'))));
    expect(error).to.be.instanceOf(RegistryInvalid);
    expect(await stateSince(path)).to.deep.equal({ uid, gid, mode: 0o644 });
    expect(await readFile(path, 'utf8')).to.equal(TEXT);
    expect(await readdir(folder)).to.deep.equal(['registry.yaml']);
    await chown(path, 0, 0);
    await asAnother(() => editRegistryFile(path, add('s1')));
    expect(await stateSince(path)).to.include({ uid: 2345, mode: 0o644 });
  });

  it('refuses a second sensor of the same id and the removal of one that is not there', async () => {
    await editRegistryFile(path, add('s1'));
    expect(await rejection(editRegistryFile(path, add('s1')))).to.be.instanceOf(RegistryInvalid);
    expect(() => removeSensor(TEXT, 'north', 's9')).to.throw(RegistryInvalid);
    expect(() => removeUser(TEXT, 'anna')).to.throw(RegistryInvalid);
    expect(() => setPassword(TEXT, 'anna', 'x')).to.throw(RegistryInvalid);
  });

  it('puts a user there, and puts another role in its place', () => {
    const once = putUser(TEXT, { name: 'anna', farms: { north: 'viewer' } });
    const twice = putUser(once, { name: 'anna', farms: { north: 'admin' } });
    expect(twice.match(/anna/g)).to.have.length(1);
    expect(twice).to.contain('admin').and.not.to.contain('viewer');
  });

  it('keeps of a user who is there what it is not told', () => {
    const before = putUser(TEXT, { name: 'anna', password: 'one', farms: { north: 'viewer', '*': 'agronomist' } });
    const user = { name: 'anna', farms: { north: 'viewer', '*': 'agronomist' } };
    const changed = (change: Partial<Parameters<typeof putUser>[1]>) => {
      const [anna] = parse(putUser(before, { name: 'anna', farms: {}, ...change })).users;
      return anna;
    };
    expect(changed({ password: 'two' })).to.deep.equal({ ...user, password: 'two' });
    expect(changed({ farms: { '*': 'admin' } })).to.deep.equal({
      ...user,
      password: 'one',
      farms: { north: 'viewer', '*': 'admin' },
    });
  });
});
