import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { until } from '../services/wait.ts';
import { LoamProcess } from './loam-process.ts';

const HOOK = new URL('./kill-at.js', import.meta.url).href;

/**
 * Starts `loam up` on a folder of an earlier version. It is killed at a moment of the take-over: right before, or right
 * after, the change whose number is half of it. Resolves with whether it came so far.
 */
export async function killedAtMoment(moment: number, env: Readonly<Record<string, string>>): Promise<boolean> {
  const options = { NODE_OPTIONS: `--import=${HOOK}`, LOAM_TEST_KILL_AT: String(moment) };
  const loam = new LoamProcess(['up', '--no-demo'], { ...env, ...options });
  const came = await Promise.race([loam.ended, loam.says(/Loam is running/)]);
  if (came === 'SIGKILL') return true;
  await loam.stop('SIGKILL');
  if (typeof came === 'object') return false;
  throw new Error(`loam ended with ${came}: ${loam.stderr}`);
}

/** The same, killed while the process that writes the new files has begun one in `folder`. */
export async function killedWhileWriting(folder: string, env: Readonly<Record<string, string>>): Promise<void> {
  const loam = new LoamProcess(['up', '--no-demo'], env);
  const begun = async () => {
    const unfinished = (await readdir(folder)).find((name) => name.startsWith('segments.new-'));
    return unfinished !== undefined && (await readdir(join(folder, unfinished))).length > 0;
  };
  await until('a new file', begun, { everyMs: 1, timeoutMs: 60_000 });
  await loam.stop('SIGKILL');
}
