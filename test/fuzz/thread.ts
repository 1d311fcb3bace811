import { parentPort, workerData } from 'node:worker_threads';
import { type FuzzRun, tryCases } from './measure.ts';

/** A thread of its own: a case that never ends would hold up whoever waits for it. Where it stands is in two shared numbers. */

const { run, at }: { run: FuzzRun; at: Uint32Array } = workerData;
const outcome = tryCases(
  run,
  (seed) => Atomics.store(at, 0, seed),
  (count) => Atomics.store(at, 1, count),
);
parentPort?.postMessage(outcome);
