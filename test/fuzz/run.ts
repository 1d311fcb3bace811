import { Worker } from 'node:worker_threads';
import { threadEntry } from '../../core/thread.ts';
import { caseOf } from './cases.ts';
import type { FuzzRun } from './measure.ts';
import type { FuzzOutcome } from './outcome.ts';

const ENTRY = threadEntry(new URL('./thread.ts', import.meta.url));
const LOOK_MS = 1_000;
/** A case that has not ended after so long is given up, with its run. */
const HUNG_MS = 30_000;

/**
 * Tries `cases` cases in a thread of its own. `say` is told once a second how many have ended. Rejects when one does not
 * end; the error names its seed.
 */
export async function fuzz(run: FuzzRun, say: (ended: number) => void = () => {}): Promise<FuzzOutcome> {
  const at = new Uint32Array(new SharedArrayBuffer(8));
  const thread = new Worker(ENTRY, { execArgv: [], workerData: { run, at }, name: 'fuzz' });
  let [last, since] = [-1, performance.now()];
  try {
    return await new Promise((resolve, reject) => {
      thread.once('message', resolve);
      thread.once('error', reject);
      thread.once('exit', () => reject(new Error('the thread ended before its cases')));
      const watch = setInterval(() => {
        const [seed = 0, ended = 0] = at;
        say(ended);
        if (ended !== last) [last, since] = [ended, performance.now()];
        // The last cases are measured once more at the end, when all have been counted.
        else if (ended < run.cases && performance.now() - since > HUNG_MS) {
          const { reader, bytes } = caseOf(seed);
          reject(new Error(`a case does not end: ${bytes} bytes for ${reader}, --case ${seed}`));
        }
      }, LOOK_MS);
      thread.once('exit', () => clearInterval(watch));
    });
  } finally {
    await thread.terminate();
  }
}
