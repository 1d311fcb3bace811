import { link, mkdir, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { expect } from 'chai';
import { FolderInUse, FolderNotLockable, lockFolder } from '../../backbone/files/folder-lock.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { type Child, startChild } from './child-process.ts';
import { rejection } from './numbered.ts';
import { runTraced } from './trace.ts';

const PROCESSES = 4;
const ROUNDS = 30;

describe('the lock of a folder', () => {
  let folder: string;
  let children: Child[];

  beforeEach(async () => {
    folder = await temporaryFolder();
    children = [];
  });

  afterEach(async () => {
    for (const child of children) await child.kill();
  });

  async function start(env: Readonly<Record<string, string>>): Promise<Child> {
    const child = await startChild({ script: 'child-folder-lock.ts', env: { FOLDER: folder, ...env } });
    children.push(child);
    return child;
  }

  it('is given to one of many processes that want it at the same moment, whatever an earlier holder has left', async () => {
    const signals = await temporaryFolder();
    const env = { TASK: 'race', SIGNALS: signals, ROUNDS: String(ROUNDS) };
    const racers = await Promise.all(Array.from({ length: PROCESSES }, () => start(env)));
    for (let round = 0; round < ROUNDS; round++) {
      await said(racers, `${round} ready`);
      await leaveDeadSocket(folder);
      await writeFile(join(signals, `go-${round}`), '');
      const answers = await said(racers, `${round} `, 2);
      expect(answers.filter((answer) => answer === `${round} got`)).to.have.length(1);
      await writeFile(join(signals, `end-${round}`), '');
    }
    expect(await Promise.all(racers.map(({ ended }) => ended))).to.deep.equal(racers.map(() => 0));
  });

  it('of an edit is one process’s at a time, although its file comes and goes: no edit of several is lost', async () => {
    await writeFile(join(folder, 'count'), '0');
    const rounds = 250;
    const editors = await Promise.all(
      Array.from({ length: PROCESSES }, () => start({ TASK: 'count', ROUNDS: String(rounds) })),
    );
    expect(await Promise.all(editors.map(({ ended }) => ended))).to.deep.equal(editors.map(() => 0));
    expect(await readFile(join(folder, 'count'), 'utf8')).to.equal(String(PROCESSES * rounds));
    expect(await readdir(folder)).to.deep.equal(['count']);
  });

  it('is free when its holder was killed, although a process that the holder started lives on', async () => {
    for (let round = 0; round < 3; round++) {
      const holder = await start({ TASK: 'hold' });
      const [heir = ''] = await holder.printed(1);
      try {
        expect(await rejection(lockFolder(folder))).to.be.instanceOf(FolderInUse);
        await holder.kill();
        await (await lockFolder(folder))();
      } finally {
        process.kill(Number(heir.split(' ')[1]), 'SIGKILL');
      }
    }
  });

  it('refuses a second part of the same process, names the holder, and stays its holder’s then', async () => {
    const giveBack = await lockFolder(folder);
    for (let round = 0; round < 2; round++) {
      const refusal = await rejection(lockFolder(folder));
      expect(refusal).to.be.instanceOf(FolderInUse);
      expect(String(refusal)).to.include(`process ${process.pid} on `);
    }
    await giveBack();
    await (await lockFolder(folder))();
  });

  it('given back twice does not take it from the next holder', async () => {
    const giveBack = await lockFolder(folder);
    await giveBack();
    const next = await lockFolder(folder);
    await giveBack();
    expect(await rejection(lockFolder(folder))).to.be.instanceOf(FolderInUse);
    await next();
  });

  it('keeps its file: a lock is never on a name that was removed', async () => {
    const inode = async () => (await stat(join(folder, 'folder.lock'))).ino;
    const giveBack = await lockFolder(folder);
    const before = await inode();
    await giveBack();
    await (await lockFolder(folder))();
    expect(await inode()).to.equal(before);
    expect(await readFile(join(folder, 'folder.lock'), 'utf8')).to.match(/^process \d+ on \S+, since \S+\n$/);
  });

  it('takes a folder that an earlier version has left with its socket, and refuses one where that version runs', async () => {
    await leaveDeadSocket(folder);
    await (await lockFolder(folder))();
    await rm(join(folder, 'lock'));
    const earlier = createServer((connection) => connection.destroy());
    await new Promise<void>((resolve) => earlier.listen(join(folder, 'lock'), resolve));
    for (let round = 0; round < 2; round++) {
      const refusal = await rejection(lockFolder(folder));
      expect(refusal).to.be.instanceOf(FolderInUse);
      expect(String(refusal)).to.include('an earlier version');
    }
    await new Promise((resolve) => earlier.close(resolve));
    await (await lockFolder(folder))();
  });

  it('is no socket: the folder gets one file, and can be longer than the path of a socket', async () => {
    const deep = join(folder, 'x'.repeat(120));
    await mkdir(deep);
    const giveBack = await lockFolder(deep);
    expect(await readdir(deep)).to.deep.equal(['folder.lock']);
    expect((await stat(join(deep, 'folder.lock'))).isFile()).to.equal(true);
    await giveBack();
  });

  it('rejects where it cannot be had, rather than go on without', async () => {
    await mkdir(join(folder, 'folder.lock'));
    const refusal = await rejection(lockFolder(folder));
    expect(refusal).to.be.instanceOf(FolderNotLockable);
    expect(String(refusal)).to.include(folder);
  });

  if (process.platform === 'linux') {
    it('rejects on a file system without locks, and names the folder', async () => {
      for (const error of ['ENOLCK', 'EOPNOTSUPP', 'EINVAL']) {
        const { code, stderr } = await runTraced(
          { script: 'child-folder-lock.ts', env: { FOLDER: folder, TASK: 'take' } },
          {},
          ['-P', join(folder, 'folder.lock'), '-e', 'trace=fcntl', '-e', `inject=fcntl:error=${error}`],
        );
        expect(code).to.equal(1);
        expect(stderr).to.include('FolderNotLockable').and.to.include(folder);
      }
    });
  }
});

/** Resolves with the newest line of each child that begins so, once each has printed `count` of them. */
async function said(children: readonly Child[], beginning: string, count = 1): Promise<string[]> {
  return await Promise.all(
    children.map((child) =>
      until(
        `a child to say ${beginning}`,
        () => child.lines().filter((line) => line.startsWith(beginning))[count - 1],
        {
          timeoutMs: 50_000,
          everyMs: 2,
        },
      ),
    ),
  );
}

/** What is left of a process that listened on the folder's socket and was killed. */
async function leaveDeadSocket(folder: string): Promise<void> {
  const server = createServer();
  await rm(join(folder, 'lock'), { force: true });
  await new Promise<void>((resolve) => server.listen(join(folder, 'live'), resolve));
  await link(join(folder, 'live'), join(folder, 'lock'));
  await new Promise((resolve) => server.close(resolve));
}
