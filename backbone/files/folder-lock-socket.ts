import { createHash } from 'node:crypto';
import { realpath, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Takes the lock by which versions up to 0.1 know that a folder is in use, a Unix socket that its holder listens on. Resolves with
 * the function that gives it back, or with undefined when one of those versions runs there.
 *
 * Only who has the folder's own lock may call it: by itself it is a race. Where there can be no socket, those versions cannot run either,
 * and there is nothing to take.
 */
export async function takeSocket(folder: string): Promise<(() => Promise<void>) | undefined> {
  const address = await socketPath(folder);
  if (await isAnswered(address)) return undefined;
  try {
    // What a holder that died has left.
    await rm(address, { force: true });
    const server = await listen(address);
    return () => new Promise((resolve) => server.close(() => resolve()));
  } catch {
    return async () => {};
  }
}

// The system's limit is 104 bytes on macOS and 108 on Linux, the closing zero byte included.
const LONGEST_SOCKET_PATH = 103;

async function socketPath(folder: string): Promise<string> {
  const real = await realpath(folder);
  const inside = join(real, 'lock');
  if (Buffer.byteLength(inside) <= LONGEST_SOCKET_PATH) return inside;
  const name = createHash('sha256').update(real).digest('hex').slice(0, 16);
  return join(tmpdir(), `loam-${name}.lock`);
}

function listen(address: string): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.once('error', reject);
    server.listen(address, () => {
      // A lock alone is no reason for the process to go on.
      server.unref();
      resolve(server);
    });
  });
}

/** A refused connection means that nobody listens. Any other failure may be one of somebody who is there: too busy, or not to be asked. */
function isAnswered(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(address);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', (error: NodeJS.ErrnoException) => {
      resolve(error.code !== 'ECONNREFUSED' && error.code !== 'ENOENT');
    });
  });
}
