import { mkdir, readdir, readFile, stat, symlink, utimes, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'chai';
import { explain } from '../../core/errors.ts';
import { makeFolder } from '../../core/make-folder.ts';
import { makeFile, removeLeftovers, replaceFile } from '../../core/replace-file.ts';
import { temporaryFolder } from '../services/wait.ts';

const UUID = '0d0ab1f4-1a0e-4a58-9e0c-0123456789ab';

async function refusal(work: Promise<unknown>): Promise<unknown> {
  return work.then(
    () => undefined,
    (error: unknown) => error,
  );
}

describe('a folder that is to be made', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  it('is made with those above it, by several at once too, and the highest new one is told', async () => {
    const deep = join(folder, 'a', 'b', 'c');
    const made = await Promise.all([makeFolder(deep, 0o700), makeFolder(deep, 0o700), makeFolder(deep, 0o700)]);
    expect(made).to.include(join(folder, 'a'));
    for (const path of [join(folder, 'a'), deep]) expect((await stat(path)).mode & 0o777).to.equal(0o700);
    expect(await makeFolder(deep)).to.equal(undefined);
    expect(await makeFolder(join(deep, 'd'))).to.equal(join(deep, 'd'));
  });

  it('is refused by name where a file or a link to nowhere is in the way', async () => {
    await writeFile(join(folder, 'file'), '');
    await symlink(join(folder, 'nowhere'), join(folder, 'link'));
    for (const path of ['file', 'file/under', 'file/far/under']) {
      expect(String(await refusal(makeFolder(join(folder, path))))).to.include(
        `${join(folder, 'file')} is not a folder`,
      );
    }
    expect(String(await refusal(makeFolder(join(folder, 'link', 'x'))))).to.include(join(folder, 'link'));
  });

  if (process.platform === 'linux') {
    it('is refused at once in /proc, which calls whatever is to be made there missing', async () => {
      expect(await refusal(makeFolder('/proc/x'))).to.be.instanceOf(Error);
      expect(await refusal(makeFolder('/proc/x/y'))).to.be.instanceOf(Error);
    });
  }
});

describe('a file that is written in one step', () => {
  let folder: string;

  beforeEach(async () => {
    folder = await temporaryFolder();
  });

  it('leaves nothing beside it when it cannot take its place', async () => {
    await mkdir(join(folder, 'key'));
    expect(await refusal(replaceFile(join(folder, 'key'), 'x'))).to.be.instanceOf(Error);
    await makeFile(join(folder, 'key'), 'x');
    expect(await readdir(folder)).to.deep.equal(['key']);
  });

  it('is no more than a leftover when its writer was ended: the next start removes it, and nothing else', async () => {
    const leftover = `registry.yaml.${UUID}.tmp`;
    const others = ['notes.tmp', 'registry.yaml', 'registry.yaml.last-good', `x.${UUID}`, `${UUID}.tmp.yaml`];
    for (const name of [leftover, `admin-token.${UUID}.tmp`, ...others]) await writeFile(join(folder, name), 'x');
    await mkdir(join(folder, `folder.${UUID}.tmp`));
    const old = new Date(Date.now() - 120_000);
    await utimes(join(folder, leftover), old, old);
    await removeLeftovers(folder, 60_000);
    expect(await readdir(folder)).to.have.members([`admin-token.${UUID}.tmp`, `folder.${UUID}.tmp`, ...others]);
    await removeLeftovers(folder, 0);
    expect(await readdir(folder)).to.have.members([`folder.${UUID}.tmp`, ...others]);
    await removeLeftovers(join(folder, 'nowhere'), 0);
  });

  it('is replaced under its own name, as its readers could read it', async () => {
    await writeFile(join(folder, 'file'), 'before', { mode: 0o640 });
    await writeFile(join(folder, 'pattern'), '', { mode: 0o604 });
    await replaceFile(join(folder, 'file'), 'after');
    expect((await stat(join(folder, 'file'))).mode & 0o777).to.equal(0o640);
    await replaceFile(join(folder, 'file'), 'after that', join(folder, 'pattern'));
    expect((await stat(join(folder, 'file'))).mode & 0o777).to.equal(0o604);
    expect(await readFile(join(folder, 'file'), 'utf8')).to.equal('after that');
  });
});

describe('an error of the disk', () => {
  const systemError = (code: string, text: string, path?: string) =>
    Object.assign(new Error(`${code}: ${text}, write`), {
      code,
      syscall: 'write',
      ...(path === undefined ? {} : { path }),
    });

  it('is told in words, without the system’s own and without names of unfinished files', () => {
    const full = systemError('ENOSPC', 'no space left on device', `/data/registry.yaml.${UUID}.tmp`);
    expect(explain(new Error('it cannot be edited', { cause: full }))).to.equal(
      'it cannot be edited: /data/registry.yaml: there is no room left on the disk',
    );
    for (const code of ['ENOSPC', 'EDQUOT', 'EROFS', 'EIO']) {
      expect(explain(systemError(code, 'whatever'))).not.to.match(new RegExp(`${code}|whatever`));
    }
    const denied = systemError('EACCES', `permission denied, open '/data/key.${UUID}.tmp'`);
    expect(explain(denied)).to.include("open '/data/key'");
  });

  it('of something else than a disk stays as it is', () => {
    const refused = Object.assign(new Error('connect ECONNREFUSED 127.0.0.1:1'), {
      code: 'ECONNREFUSED',
      syscall: 'connect',
    });
    expect(explain(refused)).to.equal('connect ECONNREFUSED 127.0.0.1:1');
  });
});
