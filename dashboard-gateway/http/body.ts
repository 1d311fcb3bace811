import type { HttpResponse } from './uws.ts';

/**
 * The body of a request, as text, up to `most` bytes; GET and HEAD have none. Call it before anything asynchronous.
 * Over the limit nothing more is kept and `too-large` is said at once; when the client leaves before the end, `left`.
 */
export function readBody(
  res: HttpResponse,
  method: string,
  most: number,
  left: AbortSignal,
): Promise<{ readonly text: string } | 'too-large' | 'left'> {
  if (method === 'GET' || method === 'HEAD') return Promise.resolve({ text: '' });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    left.addEventListener('abort', () => resolve('left'), { once: true });
    res.onData((chunk, isLast) => {
      size += chunk.byteLength;
      if (size > most) {
        chunks.length = 0;
        return resolve('too-large');
      }
      // The chunk's memory is taken back after this call.
      chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (isLast) resolve({ text: Buffer.concat(chunks).toString('utf8') });
    });
  });
}
