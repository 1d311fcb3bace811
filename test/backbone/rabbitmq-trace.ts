import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { locateTool } from '../services/install.ts';
import type { RabbitServer } from '../services/rabbitmq.ts';
import { temporaryFolder, until } from '../services/wait.ts';

/** One finished system call on a file. `at` is when it ended, in seconds of Unix time. */
export interface ServerCall {
  readonly at: number;
  readonly name: string;
  readonly path: string;
  readonly result: number;
}

/** Attaches strace to a running server; `stop` lets go of it and gives the writes and syncs that ended meanwhile. */
export async function traceServer(server: RabbitServer): Promise<{ stop(): Promise<ServerCall[]> }> {
  const pid = (await server.ctl('-q', 'eval', 'os:getpid().')).replace(/\D/g, '');
  const file = join(await temporaryFolder(), 'trace');
  const options = ['-f', '-y', '-ttt', '-T', '-s', '0', '-o', file];
  const command = [
    await locateTool('strace'),
    ...options,
    '-e',
    'trace=write,writev,pwrite64,pwritev,fsync,fdatasync',
    '-p',
    pid,
  ];
  // Attaching to a process that is not one's own child takes privileges on many systems.
  const [program = '', ...args] = process.getuid?.() === 0 ? command : ['sudo', '-n', ...command];
  const strace = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  let said = '';
  strace.stderr.on('data', (chunk: Buffer) => {
    said += chunk.toString();
  });
  let ended = false;
  const gone = new Promise<void>((resolve) => {
    const over = () => {
      ended = true;
      resolve();
    };
    strace.once('error', over);
    strace.once('close', over);
  });
  await until('strace to attach', () => ended || said.includes('attached'));
  if (ended) throw new Error(`strace cannot attach to the server: ${said}`);
  return {
    async stop() {
      strace.kill('SIGINT');
      await gone;
      return parse(await readFile(file, 'utf8'));
    },
  };
}

/** A call that another thread's interrupted is on two lines: the path on the first, the result on the second. */
function parse(trace: string): ServerCall[] {
  const calls: ServerCall[] = [];
  const unfinished = new Map<string, string>();
  for (const line of trace.split('\n')) {
    const [, thread = '', stamp = '', rest = ''] = /^(\d+)\s+([\d.]+)\s+(.*)$/.exec(line) ?? [];
    if (rest.endsWith('<unfinished ...>')) unfinished.set(thread, rest);
    const resumed = /^<\.\.\. \w+ resumed>/.test(rest);
    const begun = resumed ? (unfinished.get(thread) ?? '') : rest;
    const [, name, path] = /^(\w+)\(\d+<(.*?)>/.exec(begun) ?? [];
    const [, result, took] = /= (-?\d+).*<([\d.]+)>$/.exec(rest) ?? [];
    if (name === undefined || path === undefined || result === undefined) continue;
    // The stamp of a line that resumes a call is that of its end already.
    const at = Number(stamp) + (resumed ? 0 : Number(took));
    calls.push({ at, name, path, result: Number(result) });
  }
  return calls;
}
