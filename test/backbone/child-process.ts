import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { frozen } from '../services/process.ts';
import { temporaryFolder, until } from '../services/wait.ts';

/** How to start a process of our own: a TypeScript file of this folder, and what it needs in its environment. */
export interface ChildScript {
  readonly script: string;
  readonly env: Readonly<Record<string, string>>;
}

export interface Child {
  /** What it has printed, without a line that is not complete. */
  lines(): string[];
  /** Resolves when it has printed `count` lines; rejects when it ends before that. */
  printed(count: number): Promise<string[]>;
  /** SIGSTOP; resolves when it does nothing any more. On Linux. */
  freeze(): Promise<void>;
  /** SIGKILL; resolves when it is gone. */
  kill(): Promise<void>;
  /** Resolves with its exit code, null when a signal ended it. */
  readonly ended: Promise<number | null>;
}

export const root = fileURLToPath(new URL('../..', import.meta.url));

/** The arguments with which node runs a TypeScript file of this folder. */
export function nodeArguments(script: string): string[] {
  return ['--import', 'tsx', join(root, 'test/backbone', script)];
}

/**
 * Starts a child. It prints into files, not pipes: what it printed before it was killed is all there.
 */
export async function startChild(child: ChildScript, env: Readonly<Record<string, string>> = {}): Promise<Child> {
  const folder = await temporaryFolder();
  const [file, errors] = [join(folder, 'stdout'), join(folder, 'stderr')];
  const [output, error] = [openSync(file, 'w'), openSync(errors, 'w')];
  const running = spawn(process.execPath, nodeArguments(child.script), {
    cwd: root,
    env: { ...process.env, ...child.env, ...env },
    stdio: ['ignore', output, error],
  });
  closeSync(output);
  closeSync(error);
  let gone = false;
  const ended = new Promise<number | null>((resolve, reject) => {
    running.once('error', reject);
    running.once('exit', (code) => {
      gone = true;
      resolve(code);
    });
  });
  const lines = () => readFileSync(file, 'utf8').split('\n').slice(0, -1);
  return {
    lines,
    ended,
    async printed(count) {
      await until(`${child.script} to print ${count} lines`, () => gone || lines().length >= count, {
        timeoutMs: 30_000,
      });
      const all = lines();
      if (all.length < count) {
        throw new Error(`${child.script} ended after ${all.length} lines\n${readFileSync(errors, 'utf8')}`);
      }
      return all;
    },
    async freeze() {
      if (running.pid !== undefined) await frozen(running.pid);
    },
    async kill() {
      running.kill('SIGKILL');
      await ended;
    },
  };
}
