import type { HttpResponse } from './uws.ts';

/**
 * Reads the body of a request as text, up to `most` bytes; the text of GET and HEAD is empty. Call it before anything
 * asynchronous. Resolves with `too-large` as soon as the limit is passed, and with `left` when the client leaves before
 * the end.
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
      // uWebSockets.js takes the chunk's memory back after this call.
      chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (isLast) resolve({ text: Buffer.concat(chunks).toString('utf8') });
    });
  });
}
