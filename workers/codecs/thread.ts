import { parentPort } from 'node:worker_threads';
import type { CodecAnswer, CodecJob } from './codec.ts';
import { Sandbox } from './sandbox.ts';

/** The thread in which codecs run, so that a slow one holds up other uplinks only, and nothing else of the process. */
const sandbox = await Sandbox.open();

parentPort?.on('message', ({ id, key, source, input, limits }: CodecJob) => {
  parentPort?.postMessage({ id, outcome: sandbox.run(key, source, input, limits) } satisfies CodecAnswer);
});

parentPort?.postMessage({ ready: true } satisfies CodecAnswer);
