import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { BEGINS } from './services/hooks.ts';

/**
 * `npm test`: everything, in two mocha processes at once, each with servers of its own. Most tests wait for a server to start, die or come back,
 * so two at a time take little more than half as long. What both print is shown while they run, each `describe` in one piece, so that no lines mix;
 * what each says of itself, its failures with it, comes last of all: a log is often read, or kept, from its end.
 *
 * A half of which nothing is heard for `SILENCE_MS` is ended, and the test that it stood in is named.
 * Exits 0 only when both halves did. Given files, it runs those alone, in one process.
 */
const HALF_FILES = ['backbone', 'cli', 'workers'].map((room) => `test/${room}/**/*.test.ts`);
/** What takes long, and of which other files try the most important: in `npm run test:long` only. */
const LONG_FILES = [
  'test/backbone/registry-postgres-slow.test.ts',
  'test/backbone/take-over.test.ts',
  'test/cli/events.test.ts',
  'test/cli/package.test.ts',
  'test/cli/registry-postgres.test.ts',
  'test/cli/registry-words.test.ts',
  'test/cli/repair.test.ts',
  'test/e2e/clocks.test.ts',
  'test/e2e/descriptors.test.ts',
  'test/e2e/image.test.ts',
  'test/e2e/last-version-kills.test.ts',
  'test/gateway/cuts.test.ts',
];
const ignored = (files: readonly string[]) => files.flatMap((file) => ['--ignore', file]);
const LEFT_OUT = process.env.LOAM_TEST_LONG === '1' ? [] : ignored(LONG_FILES);
const HALF = [...HALF_FILES, ...LEFT_OUT];
const REST = ['test/**/*.test.ts', ...ignored(HALF_FILES), ...LEFT_OUT];

/** Above every time limit of a test: mocha itself ends a test that waits in vain. It cannot end one that never gives the processor back. */
const SILENCE_MS = Number(process.env.LOAM_TEST_SILENCE_MS ?? 480_000);
const KILL_AFTER_MS = 15_000;

/** `npm test` has built `dist/` before it, of which children and threads are started then. */
const built = process.env.npm_lifecycle_event === undefined ? '' : '1';

/** Mocha's list of failures begins with how many passed. */
const SUMMARY = /^ {2}\d+ passing/;
/** The first line of a `describe` that stands in no other. */
const OUTERMOST = /^ {2}\S/;

/**
 * Temporary files of the tests, in a folder that nobody else can write to (though reach: some tests start programs as another user).
 * There the loader of TypeScript may keep what it has translated, which the many processes that tests start need again and again.
 */
const folder = mkdtempSync(join(tmpdir(), 'loam-tests-'));
chmodSync(folder, 0o711);
process.on('exit', () => rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));

interface Outcome {
  readonly code: number;
  readonly summary: string;
}

/** One mocha run. */
async function mocha(files: readonly string[], ports: 'lower' | 'upper'): Promise<Outcome> {
  const child = spawn(process.execPath, ['node_modules/mocha/bin/mocha.js', ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: {
      ...process.env,
      TEST_PORTS: ports,
      LOAM_TEST_BEGINS: 'shown',
      TMPDIR: folder,
      TSX_DISABLE_CACHE: '',
      LOAM_TEST_BUILT: built,
    },
    // A group of its own, so that all of it can be ended: mocha starts another process, and tests start servers.
    detached: true,
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => end(child, signal));
  const ended = once(child, 'close');
  let block: string[] = [];
  const show = () => {
    if (block.length > 0) console.log(block.join('\n'));
    block = [];
  };
  const summary: string[] = [];
  let current = 'no test had begun';
  const hung = () => {
    summary.push(
      `  nothing was heard for ${SILENCE_MS / 1_000} s, so it was ended. What it stood in, or in a hook after it: ${current}`,
    );
    end(child, 'SIGTERM');
    setTimeout(() => end(child, 'SIGKILL'), KILL_AFTER_MS).unref();
  };
  const silence = setTimeout(hung, SILENCE_MS);
  for await (const line of createInterface(child.stdout)) {
    silence.refresh();
    if (line.startsWith(BEGINS)) {
      current = line.slice(BEGINS.length);
    } else if (summary.length > 0 || SUMMARY.test(line)) {
      current = 'all tests had ended, and something they left behind kept it alive';
      summary.push(line);
    } else {
      if (OUTERMOST.test(line)) show();
      block.push(line);
    }
  }
  clearTimeout(silence);
  show();
  const [code] = await ended;
  return { code: typeof code === 'number' ? code : 1, summary: summary.join('\n') };
}

function end(child: ChildProcess, signal: NodeJS.Signals): void {
  try {
    if (child.pid !== undefined) process.kill(-child.pid, signal);
  } catch {
    // It is gone already.
  }
}

const files = process.argv.slice(2);
const runs = files.length > 0 ? [mocha(files, 'lower')] : [mocha(REST, 'lower'), mocha(HALF, 'upper')];
const outcomes = await Promise.all(runs);
console.log(`\n${outcomes.map(({ summary }) => summary).join('\n')}`);
process.exitCode = Math.max(...outcomes.map(({ code }) => code));
