import { constants } from 'node:fs';
import { open } from 'node:fs/promises';
import { ConfigInvalid } from '../../core/errors.ts';

const MOST_BYTES = 1024 ** 2;

/**
 * A file that a source names: a password, a certificate or a key. Rejects with ConfigInvalid, which names it; as soon as
 * `signal` is aborted too, for a file of a network may not answer.
 */
export async function sourceFile(id: string, path: string, signal: AbortSignal): Promise<Buffer> {
  let stop = () => {};
  const aborted = new Promise<never>((_, reject) => {
    stop = () => reject(new Error('stopped meanwhile'));
    signal.addEventListener('abort', stop, { once: true });
  });
  try {
    return await Promise.race([read(path), aborted]);
  } catch (cause) {
    throw new ConfigInvalid(path, `source ${id}: ${path} cannot be read`, { cause });
  } finally {
    signal.removeEventListener('abort', stop);
  }
}

/** Rejects what is no file: a thread that waits for the writer of a pipe keeps the process from ending. */
async function read(path: string): Promise<Buffer> {
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    if (!(await file.stat()).isFile()) throw new Error('it is no file');
    const bytes = Buffer.alloc(MOST_BYTES + 1);
    let length = 0;
    for (let piece = -1; piece !== 0 && length < bytes.length; length += piece)
      piece = (await file.read(bytes, length, bytes.length - length)).bytesRead;
    if (length > MOST_BYTES) throw new Error(`it has more than ${MOST_BYTES} bytes`);
    return bytes.subarray(0, length);
  } finally {
    await file.close();
  }
}
