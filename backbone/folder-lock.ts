import { createHash } from 'node:crypto';
import { realpath, rm } from 'node:fs/promises';
import { connect, createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

/** A folder that another process, or another part of this one, has open. */
export class FolderInUse extends Error {
  constructor(folder: string) {
    super(`${folder} is in use by another process`);
    this.name = 'FolderInUse';
  }
}

/**
 * Takes a folder for this process alone and returns the function that gives it back; rejects with FolderInUse.
 *
 * The lock is a Unix socket in the folder that its holder listens on. The kernel stops listening when a process dies,
 * however it dies, so a lock left by kill -9 is known by its refused connection, where a file with a process id
 * in it would mean another process after a restart, or in another container.
 */
export async function lockFolder(folder: string): Promise<() => Promise<void>> {
  const address = await socketPath(folder);
  // A second try after a dead holder's socket was removed; failing that too, others are quicker.
  for (let tries = 0; tries < 2; tries++) {
    const server = await listen(address);
    if (server !== undefined) return () => release(server);
    if (await answers(address)) break;
    await rm(address, { force: true });
  }
  throw new FolderInUse(folder);
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

/** Undefined when the address is taken, by a live process or a dead one. */
function listen(address: string): Promise<Server | undefined> {
  return new Promise((resolve, reject) => {
    const server = createServer((connection) => connection.destroy());
    server.once('error', (error: NodeJS.ErrnoException) => {
      if (error.code === 'EADDRINUSE') resolve(undefined);
      else reject(error);
    });
    server.listen(address, () => {
      // A lock alone is no reason for the process to go on.
      server.unref();
      resolve(server);
    });
  });
}

function answers(address: string): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = connect(address);
    probe.once('connect', () => {
      probe.destroy();
      resolve(true);
    });
    probe.once('error', () => resolve(false));
  });
}

function release(server: Server): Promise<void> {
  return new Promise((resolve, reject) => server.close((error) => (error ? reject(error) : resolve())));
}
