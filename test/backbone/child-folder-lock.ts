import { spawn } from 'node:child_process';
import { existsSync, readFileSync, writeFileSync, writeSync } from 'node:fs';
import { join } from 'node:path';
import { lockForEdit } from '../../backbone/files/edit-lock.ts';
import { FolderInUse, lockFolder } from '../../backbone/files/folder-lock.ts';
import { until } from '../services/wait.ts';
import { given } from './child-tasks.ts';

const folder = given('FOLDER');

switch (given('TASK')) {
  case 'race':
    await race(given('SIGNALS'), Number(given('ROUNDS')));
    break;
  case 'hold':
    await hold();
    break;
  case 'take':
    await (await lockFolder(folder))();
    break;
  case 'count':
    await count(join(folder, 'count'), Number(given('ROUNDS')));
    break;
  default:
    throw new Error('unknown TASK');
}

/** Tries to get the folder whenever the file `go-N` appears, says how it went, and gives it back when `end-N` appears. */
async function race(signals: string, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    print(`${round} ready`);
    const go = join(signals, `go-${round}`);
    // Not by a timer: all are to try in the same moment.
    while (!existsSync(go));
    const giveBack = await lockFolder(folder).catch((error: unknown) => {
      if (error instanceof FolderInUse) return undefined;
      throw error;
    });
    print(`${round} ${giveBack ? 'got' : 'refused'}`);
    await until('the end of the round', () => existsSync(join(signals, `end-${round}`)), { timeoutMs: 60_000 });
    await giveBack?.();
  }
}

/** Adds one to the number in a file, so many times, by an edit that takes two steps. */
async function count(file: string, rounds: number): Promise<void> {
  for (let round = 0; round < rounds; round++) {
    const release = await lockForEdit(file, 50_000);
    if (release === undefined) throw new Error('no lock in time');
    const before = Number(readFileSync(file, 'utf8'));
    writeFileSync(file, String(before + 1));
    release();
  }
}

/** Takes the folder, starts a process that outlives this one, prints its number, and waits to be killed. */
async function hold(): Promise<void> {
  await lockFolder(folder);
  const heir = spawn(process.execPath, ['-e', 'setInterval(() => {}, 60_000)'], { stdio: 'ignore', detached: true });
  heir.unref();
  print(`heir ${heir.pid}`);
  setInterval(() => {}, 60_000);
}

function print(line: string): void {
  writeSync(1, `${line}\n`);
}
