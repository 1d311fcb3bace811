import { spawn } from 'node:child_process';
import { once } from 'node:events';

/**
 * `npm test`: everything, in two mocha processes at once, each with servers of its own. Most tests wait for a server to start, die or come back,
 * so two at a time take little more than half as long. What the second says is shown when the first has ended, so that no lines mix.
 *
 * Exits 0 only when both do.
 */
const HALF = ['test/backbone/**/*.test.ts', 'test/e2e/**/*.test.ts', 'test/services/**/*.test.ts'];
const REST = ['test/**/*.test.ts', ...HALF.flatMap((files) => ['--ignore', files])];

/** One mocha run: its exit code, and what it printed when it was not shown at once. */
async function mocha(files: readonly string[], shown: boolean): Promise<{ code: number; text: string }> {
  const child = spawn(process.execPath, ['node_modules/mocha/bin/mocha.js', ...files], {
    stdio: ['ignore', shown ? 'inherit' : 'pipe', shown ? 'inherit' : 'pipe'],
  });
  const printed: Buffer[] = [];
  for (const stream of [child.stdout, child.stderr]) stream?.on('data', (chunk: Buffer) => printed.push(chunk));
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => child.kill(signal));
  const [code] = await once(child, 'close');
  return { code: typeof code === 'number' ? code : 1, text: Buffer.concat(printed).toString() };
}

const second = mocha(HALF, false);
const first = await mocha(REST, true);
const { code, text } = await second;
process.stdout.write(text);
process.exitCode = Math.max(first.code, code);
