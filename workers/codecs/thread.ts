import { parentPort, workerData } from 'node:worker_threads';
import type { CodecAnswer, CodecJob, CodecLimits } from './codec.ts';
import { Sandbox } from './sandbox.ts';

/** The thread in which codecs run: a slow codec delays other uplinks, but nothing else of the process. */
const limits: CodecLimits = workerData;
const sandbox = await Sandbox.open(limits);

parentPort?.on('message', ({ id, source, input }: CodecJob) => {
  parentPort?.postMessage({ id, outcome: sandbox.run(source, input) } satisfies CodecAnswer);
});

parentPort?.postMessage({ ready: true } satisfies CodecAnswer);
