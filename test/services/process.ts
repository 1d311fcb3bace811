import { type ChildProcess, execFile, spawn } from 'node:child_process';
import { closeSync, openSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { promisify } from 'node:util';
import { until } from './wait.ts';

const run = promisify(execFile);

/** As whom a program runs. */
export interface Owner {
  readonly uid: number;
  readonly gid: number;
}

/** Runs a program to its end and resolves to its standard output; rejects with what it said when it fails. */
export async function output(
  program: string,
  args: string[],
  env: NodeJS.ProcessEnv = process.env,
  owner?: Owner,
): Promise<string> {
  return (await run(program, args, { env, maxBuffer: 64 * 1024 * 1024, ...owner })).stdout;
}

/** Stops a process on Linux where it is, with SIGSTOP. Resolves when none of its threads runs any more. */
export async function frozen(pid: number): Promise<void> {
  process.kill(pid, 'SIGSTOP');
  await until(`process ${pid} to stand still`, async () => {
    const threads = await readdir(`/proc/${pid}/task`);
    const stats = await Promise.all(threads.map((thread) => readFile(`/proc/${pid}/task/${thread}/stat`, 'utf8')));
    // T: stopped; D: in a call of the file system, from which it does not come back.
    return stats.every((stat) => 'TDZ'.includes(stat.charAt(stat.lastIndexOf(')') + 2)));
  });
}

export interface Command {
  program: string;
  args: string[];
  env: NodeJS.ProcessEnv;
  /** Standard output and standard error are appended here. */
  log: string;
  /** As whom it runs, when not as the tests do. */
  owner?: Owner | undefined;
  /** What asks it to stop; SIGTERM when left out. */
  stopSignal?: NodeJS.Signals;
}

/**
 * A server's process that can be ended and started again with the same command. It leads a process group of its own,
 * and signals go to the group, so that nothing it started outlives it.
 */
export class ServerProcess {
  readonly #command: Command;
  #child: ChildProcess | undefined;
  #exited: Promise<void> = Promise.resolve();

  constructor(command: Command) {
    this.#command = command;
  }

  get running(): boolean {
    return this.#child !== undefined;
  }

  /** Of the process that leads the group; 0 while it is not running. */
  get pid(): number {
    return this.#child?.pid ?? 0;
  }

  /** Starts it and resolves when `ready` does without throwing; rejects with the end of its log if it exits first. */
  async start(ready: () => Promise<unknown>, timeoutMs: number): Promise<void> {
    if (this.running) {
      throw new Error(`${this.#command.program} is running already`);
    }
    this.#spawn();
    try {
      await until(`${this.#command.program} to be up`, () => this.#exitedOr(ready), { timeoutMs, everyMs: 50 });
    } catch (error) {
      await this.kill();
      throw new Error(`${String(error)}\n${await this.#endOfLog()}`, { cause: error });
    }
    if (!this.running) {
      throw new Error(`${this.#command.program} exited while it was starting\n${await this.#endOfLog()}`);
    }
  }

  /** Asks it to stop and resolves when it is gone; rejects, having killed it, when that takes too long. */
  async stop(timeoutMs: number): Promise<void> {
    this.#signal(this.#command.stopSignal ?? 'SIGTERM');
    try {
      await until(`${this.#command.program} to stop`, () => !this.running, { timeoutMs });
    } catch (error) {
      await this.kill();
      throw error;
    }
  }

  /** Ends it with SIGKILL and resolves when it is gone. */
  async kill(): Promise<void> {
    this.endNow();
    await this.#exited;
  }

  /** Ends it for good. */
  end(): Promise<void> {
    return this.kill();
  }

  /** Sends SIGKILL without waiting for the end. */
  endNow(): void {
    this.#signal('SIGKILL');
  }

  #spawn(): void {
    const { program, args, env, log, owner } = this.#command;
    const output = openSync(log, 'a');
    const child = spawn(program, args, { env, detached: true, stdio: ['ignore', output, output], ...owner });
    closeSync(output);
    this.#child = child;
    this.#exited = new Promise((resolve) => {
      const gone = () => {
        this.#child = undefined;
        resolve();
      };
      child.once('exit', gone);
      child.once('error', gone);
    });
  }

  async #exitedOr(ready: () => Promise<unknown>): Promise<true> {
    if (this.running) {
      await ready();
    }
    return true;
  }

  #signal(signal: NodeJS.Signals): void {
    const pid = this.#child?.pid;
    if (pid === undefined) {
      return;
    }
    try {
      process.kill(-pid, signal);
    } catch (error) {
      // Gone already: its 'exit' event is on its way.
      if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) {
        throw error;
      }
    }
  }

  async #endOfLog(): Promise<string> {
    const text = await readFile(this.#command.log, 'utf8').catch(() => '');
    return text.slice(-2_000);
  }
}
