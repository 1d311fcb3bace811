import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createInterface } from 'node:readline';

/**
 * `npm test`: everything, in two mocha processes at once, each with servers of its own. Most tests wait for a server to start, die or come back,
 * so two at a time take little more than half as long. What the first prints is shown while it runs, the second's after it, so that no lines mix;
 * what each says of itself, its failures with it, comes last of all: a log is often read, or kept, from its end.
 *
 * Exits 0 only when both do.
 */
const HALF = ['test/backbone/**/*.test.ts', 'test/e2e/**/*.test.ts', 'test/services/**/*.test.ts'];
const REST = ['test/**/*.test.ts', ...HALF.flatMap((files) => ['--ignore', files])];

/** Mocha's list of failures begins with how many passed. */
const SUMMARY = /^ {2}\d+ passing/;

interface Outcome {
  readonly code: number;
  readonly tests: string;
  readonly summary: string;
}

/** One mocha run. `show` gets each line before its summary, as it comes. */
async function mocha(
  files: readonly string[],
  ports: 'lower' | 'upper',
  show: (line: string) => void = () => {},
): Promise<Outcome> {
  const child = spawn(process.execPath, ['node_modules/mocha/bin/mocha.js', ...files], {
    stdio: ['ignore', 'pipe', 'inherit'],
    env: { ...process.env, TEST_PORTS: ports },
  });
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  const ended = once(child, 'close');
  const tests: string[] = [];
  const summary: string[] = [];
  for await (const line of createInterface(child.stdout)) {
    if (summary.length > 0 || SUMMARY.test(line)) {
      summary.push(line);
    } else {
      tests.push(line);
      show(line);
    }
  }
  const [code] = await ended;
  return { code: typeof code === 'number' ? code : 1, tests: tests.join('\n'), summary: summary.join('\n') };
}

const second = mocha(HALF, 'upper');
const first = await mocha(REST, 'lower', (line) => console.log(line));
const { tests, summary, code } = await second;
console.log(`${tests}\n${first.summary}\n${summary}`);
process.exitCode = Math.max(first.code, code);
