import { rmSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { connect, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { atEnd } from './cleanup.ts';

type NotYet = undefined | null | false;

/**
 * Polls `probe` until it gives something other than undefined, null or false, and resolves to that. A probe that
 * throws is asked again. Rejects after `timeoutMs` with an Error that names `what` and has the probe's last error as
 * its cause; a probe that hangs does not hold it up.
 */
export async function until<T>(
  what: string,
  probe: () => T | NotYet | Promise<T | NotYet>,
  options: { timeoutMs?: number; everyMs?: number } = {},
): Promise<T> {
  const { timeoutMs = 15_000, everyMs = 20 } = options;
  const deadline = Date.now() + timeoutMs;
  let lastError: unknown;
  do {
    try {
      const found = await within(deadline - Date.now(), probe);
      if (found !== undefined && found !== null && found !== false) {
        return found;
      }
      lastError = undefined;
    } catch (error) {
      lastError = error;
    }
    await delay(everyMs);
  } while (Date.now() < deadline);
  const reason = lastError === undefined ? '' : `: ${String(lastError)}`;
  throw new Error(`waited ${timeoutMs} ms in vain for ${what}${reason}`, { cause: lastError });
}

async function within<T>(ms: number, probe: () => T | Promise<T>): Promise<T> {
  const timer = new AbortController();
  const tooLong = delay(Math.max(ms, 0), undefined, { signal: timer.signal }).then(
    () => Promise.reject(new Error('no answer in time')),
    () => new Promise<never>(() => {}),
  );
  try {
    return await Promise.race([probe(), tooLong]);
  } finally {
    timer.abort();
  }
}

// Below the range from which Linux and macOS take the local ports of outgoing connections: otherwise a client that
// retries while its server is down can be given the server's port, and even connect to itself.
// Each of two test processes at once has its own half of them: a port is free while the server it was for still starts.
const firstPort = process.env.TEST_PORTS === 'upper' ? 26_000 : 20_000;
const lastPort = firstPort + 5_999;
const handedOut = new Set<number>();

/** A TCP port of the loopback interface that nobody listens on, never the same twice in one process. */
export async function freePort(): Promise<number> {
  for (let attempt = 0; attempt < 1_000; attempt += 1) {
    const port = firstPort + Math.floor(Math.random() * (lastPort - firstPort + 1));
    if (!handedOut.has(port) && (await canListenOn(port))) {
      handedOut.add(port);
      return port;
    }
  }
  throw new Error(`found no free port between ${firstPort} and ${lastPort}`);
}

function canListenOn(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const server = createServer();
    server.once('error', () => resolve(false));
    server.listen(port, '127.0.0.1', () => server.close(() => resolve(true)));
  });
}

/** A new empty folder, removed with all it holds when the run is over. */
export async function temporaryFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'loam-test-'));
  const options = { recursive: true, force: true, maxRetries: 5 };
  atEnd({ end: () => rm(folder, options), exit: () => rmSync(folder, options) });
  return folder;
}

/** Resolves when something accepts connections on a port of the loopback interface, and rejects when nothing does. */
export function listening(port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = connect(port, '127.0.0.1');
    socket.once('error', reject);
    socket.once('connect', () => {
      socket.destroy();
      resolve();
    });
  });
}
