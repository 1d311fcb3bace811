import { spawn } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { locateTool } from '../services/install.ts';
import { temporaryFolder } from '../services/wait.ts';
import { type ChildScript, nodeArguments, root } from './child-process.ts';

/** What a process did to the files of a folder before it printed a marker. */
export interface Durability {
  /** Files that were written since the marker before, each with the system calls that did so and made it durable. */
  readonly written: ReadonlyMap<string, readonly string[]>;
  /** Files with a write, begun at any time before the marker, that no successful sync had followed when the marker was printed. */
  readonly unsynced: readonly string[];
}

/**
 * Runs a child under strace and tells whether what it wrote into `folder` was on disk, not only in the page cache,
 * when it printed `marker`. A write counts as synced when an fsync or fdatasync of the same file began after it and
 * returned 0 before the marker, or when its descriptor was opened with O_SYNC or O_DSYNC. Linux only.
 * Rejects when strace is missing and may not be installed, or the child never printed `marker`.
 */
export async function syncsBefore(
  child: ChildScript,
  env: Readonly<Record<string, string>>,
  folder: string,
  marker: string,
): Promise<Durability> {
  const { stdout, stderr, calls } = await runTraced(child, env, ['-e', `trace=${CALLS.join(',')}`]);
  if (!stdout.split('\n').includes(marker)) throw new Error(`the child never printed ${marker}\n${stderr}`);
  return judge(calls, folder, marker);
}

/** Runs a child to its end under strace with further `options` (`-e inject=…` makes system calls fail). */
export async function runTraced(
  child: ChildScript,
  env: Readonly<Record<string, string>>,
  options: readonly string[],
): Promise<{ code: number | null; stdout: string; stderr: string; calls: readonly TracedCall[] }> {
  const trace = join(await temporaryFolder(), 'trace');
  const traced = spawn(
    await locateTool('strace'),
    ['-f', '-y', '-s', '64', '-o', trace, ...options, process.execPath, ...nodeArguments(child.script)],
    { cwd: root, env: { ...process.env, ...child.env, ...env }, stdio: ['ignore', 'pipe', 'pipe'] },
  );
  let stdout = '';
  traced.stdout.on('data', (chunk: Buffer) => {
    stdout += chunk.toString();
  });
  let stderr = '';
  traced.stderr.on('data', (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  const code = await new Promise<number | null>((resolve, reject) => {
    traced.once('error', reject);
    traced.once('close', resolve);
  });
  return { code, stdout, stderr, calls: parse(await readFile(trace, 'utf8')) };
}

/** One system call. `begun` and `ended` count the trace's lines, so that two calls can be put in order. */
export interface TracedCall {
  readonly name: string;
  readonly text: string;
  readonly begun: number;
  readonly ended: number;
  /** The path of its first argument, a descriptor; for openat of its result. */
  readonly path: string;
  readonly fd: number;
  readonly result: number;
}

const CALLS = ['openat', 'write', 'writev', 'pwrite64', 'pwritev', 'fsync', 'fdatasync', 'msync', 'sync_file_range'];

/** strace splits a call that another thread's interrupts into two lines; they are put together again by thread and name. */
function parse(trace: string): TracedCall[] {
  const calls: TracedCall[] = [];
  const unfinished = new Map<string, { begun: number; text: string }>();
  for (const [ended, line] of trace.split('\n').entries()) {
    const [, thread = '', rest = ''] = /^(\d+)\s+(.*)$/.exec(line) ?? [];
    const [, opening] = /^(.*)<unfinished \.\.\.>$/.exec(rest) ?? [];
    if (opening !== undefined) {
      unfinished.set(thread, { begun: ended, text: opening });
      continue;
    }
    const [, closing] = /^<\.\.\. \w+ resumed>(.*)$/.exec(rest) ?? [];
    const first = closing === undefined ? undefined : unfinished.get(thread);
    const text = first === undefined ? rest : `${first.text}${closing}`;
    const [, name, fd, path, result, opened] = /^(\w+)\((\w+)(?:<(.*?)>)?.*\)\s+= (-?\d+)(?:<(.*?)>)?/.exec(text) ?? [];
    if (name === undefined) continue;
    const begun = first?.begun ?? ended;
    const ofOpen = name === 'openat';
    calls.push({
      name,
      text,
      begun,
      ended,
      path: (ofOpen ? opened : path) ?? '',
      fd: Number(ofOpen ? result : fd),
      result: Number(result),
    });
  }
  return calls;
}

function judge(calls: readonly TracedCall[], folder: string, marker: string): Durability {
  const marks = calls.filter((call) => call.name === 'write' && call.fd === 1);
  const at = marks.findIndex((call) => call.text.includes(`"${marker}\\n"`));
  const end = marks[at]?.begun ?? 0;
  const begin = marks[at - 1]?.ended ?? 0;
  const before = calls.filter((call) => call.ended < end && call.path.startsWith(folder));
  const synchronous = new Set<number>();
  const dirty = new Map<string, number>();
  const written = new Map<string, string[]>();
  for (const call of before) {
    if (call.name === 'openat') {
      if (/O_D?SYNC/.test(call.text)) synchronous.add(call.fd);
      else synchronous.delete(call.fd);
    } else if (call.name.includes('write')) {
      if (!synchronous.has(call.fd)) dirty.set(call.path, call.ended);
      if (call.begun > begin) written.set(call.path, [...(written.get(call.path) ?? []), call.text]);
    } else if (call.name !== 'sync_file_range' && call.name !== 'msync' && call.result === 0) {
      if (call.begun > (dirty.get(call.path) ?? 0)) dirty.delete(call.path);
      written.get(call.path)?.push(call.text);
    }
  }
  return { written, unsynced: [...dirty.keys()] };
}
