import { type ChildProcess, spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { until } from '../services/wait.ts';

const BIN = fileURLToPath(new URL('../../cli/bin.js', import.meta.url));

/** One `loam` command, run as its users run it. */
export class LoamProcess {
  stdout = '';
  stderr = '';
  readonly child: ChildProcess;
  /** Resolves with the exit code, or the signal's name, when the process has ended. */
  readonly ended: Promise<number | string>;

  /**
   * On a `terminal` it believes that a person watches, and everything that it says is in `stdout`. `bin` is the command of
   * another version. `through` is what the command begins with that runs it on another host.
   */
  constructor(
    args: readonly string[],
    env: Readonly<Record<string, string>> = {},
    where: 'pipe' | 'terminal' = 'pipe',
    bin = BIN,
    through: readonly string[] = [],
  ) {
    const inherited = Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('LOAM_')));
    // With the option that the first line of the file gives to Node.
    const command = [...through, process.execPath, '--max-semi-space-size=64', bin, ...args];
    const [program = '', ...rest] = where === 'terminal' ? onTerminal(command) : command;
    this.child = spawn(program, rest, {
      env: { ...inherited, ...env },
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    this.child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      this.stdout += text;
    });
    this.child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      this.stderr += text;
    });
    this.ended = new Promise((resolve) => {
      this.child.on('close', (code, signal) => resolve(code ?? signal ?? 'gone'));
    });
  }

  /** Resolves with the match once the output holds `pattern`; rejects with what was said instead when the process ends first. */
  async says(pattern: RegExp): Promise<RegExpExecArray> {
    const found = await until(
      `loam says ${pattern}`,
      () => pattern.exec(this.stdout + this.stderr) ?? this.endedWith(),
      {
        timeoutMs: 240_000,
      },
    );
    if (typeof found === 'string') throw new Error(found);
    return found;
  }

  private endedWith(): string | undefined {
    const { exitCode, signalCode } = this.child;
    if (exitCode === null && signalCode === null) return undefined;
    return `loam ended with ${exitCode ?? signalCode}: ${this.stderr}`;
  }

  /** Sends a signal and resolves with the exit code. */
  async stop(signal: NodeJS.Signals = 'SIGTERM'): Promise<number | string> {
    this.child.kill(signal);
    return this.ended;
  }
}

/** The same command on a terminal of its own, which `script` makes: of util-linux, or of BSD on a Mac. */
function onTerminal(command: readonly string[]): string[] {
  if (process.platform === 'darwin') return ['script', '-q', '/dev/null', ...command];
  return ['script', '-qec', command.map((word) => `'${word.replaceAll("'", "'\\''")}'`).join(' '), '/dev/null'];
}

/** Runs a command that ends by itself; `input` goes to its standard input. */
export async function run(args: readonly string[], env: Readonly<Record<string, string>>, input = '') {
  const command = new LoamProcess(args, env);
  command.child.stdin?.end(input);
  const code = await command.ended;
  return { code, stdout: command.stdout, stderr: command.stderr };
}
