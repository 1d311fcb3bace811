import { createHash } from 'node:crypto';
import { realpath, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/**
 * Takes the lock of versions up to 0.1: a Unix socket on which the process that uses the folder listens. Resolves with
 * the function that releases it, or with undefined when one of those versions is using the folder.
 *
 * Only the holder of the folder's own lock may call this: without that lock two callers could both succeed. Where no
 * socket can be made, those versions cannot run either, so there is nothing to take.
 */
export async function takeSocket(folder: string): Promise<(() => Promise<void>) | undefined> {
  const address = await socketPath(folder);
  if (await isAnswered(address)) return undefined;
  try {
    // A process that died may have left its socket.
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
      // The lock alone must not keep the process running.
      server.unref();
      resolve(server);
    });
  });
}

/**
 * A refused connection, or no socket, means that nobody listens. After any other error a process may be there: too busy
 * to answer, or one that we have no right to connect to.
 */
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
