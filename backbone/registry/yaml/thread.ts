import { parentPort, workerData } from 'node:worker_threads';
import { FilesServer } from './files-server.ts';
import type { FilesSettings, ToFiles } from './messages.ts';

/**
 * The thread that reads, checks and edits the registry's files, so that the process itself never does: with ten thousand
 * sensors that takes seconds.
 */
const settings: FilesSettings = workerData;
const server = new FilesServer(settings, (message) => parentPort?.postMessage(message));
parentPort?.on('message', (message: ToFiles) => server.take(message));
