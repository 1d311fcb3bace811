import { Worker } from 'node:worker_threads';
import { explain } from '../../../core/errors.ts';
import { threadEntry } from '../../../core/thread.ts';
import { FilesServer } from './files-server.ts';
import type { FilesSettings, FromFiles, ToFiles } from './messages.ts';

const ENTRY = threadEntry(new URL('./thread.ts', import.meta.url));

/** The way to who reads and edits the registry's files. */
export interface FilesChannel {
  send(message: ToFiles): void;
  /** Whether it keeps the process alive. */
  hold(isHeld: boolean): void;
  end(): Promise<void>;
}

/** A channel to a thread of its own. `lost` is called when that has ended, whoever ended it. */
export function channelToThread(
  settings: FilesSettings,
  take: (message: FromFiles) => void,
  lost: (why: string) => void,
): FilesChannel {
  const worker = new Worker(ENTRY, { execArgv: [], name: 'registry', workerData: settings });
  worker.on('message', take);
  worker.on('error', (error) => lost(explain(error)));
  worker.on('exit', () => lost('its thread ended'));
  return {
    send: (message) => worker.postMessage(message),
    hold: (isHeld) => (isHeld ? worker.ref() : worker.unref()),
    end: async () => void (await worker.terminate()),
  };
}

/** A channel within this thread: for who has nothing else to do meanwhile. What it hands over is a copy, as from a thread. */
export function channelHere(settings: FilesSettings, take: (message: FromFiles) => void): FilesChannel {
  const server = new FilesServer(settings, (message) => take(structuredClone(message)));
  return { send: (message) => server.take(structuredClone(message)), hold: () => {}, end: () => server.stop() };
}
