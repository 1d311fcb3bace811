import { HttpProblem } from './problem.ts';
import type { HttpResponse } from './uws.ts';

/** What may happen before a body has come. */
export interface BodySignals {
  /** Aborted when the client leaves. */
  readonly left: AbortSignal;
  /** Aborted, with an HttpProblem as the reason, when the request is not waited for any longer. */
  readonly ended: AbortSignal;
}

/**
 * Reads the body of a request as text, up to `most` bytes; the text of GET and HEAD is empty. Call it before anything
 * asynchronous. Resolves with the problem to answer as soon as the limit is passed or the request is ended, and with
 * `left` when the client leaves before the end.
 */
export function readBody(
  res: HttpResponse,
  method: string,
  most: number,
  { left, ended }: BodySignals,
): Promise<{ readonly text: string } | HttpProblem | 'left'> {
  if (method === 'GET' || method === 'HEAD') return Promise.resolve({ text: '' });
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    left.addEventListener('abort', () => resolve('left'), { once: true });
    const end = (why: unknown) => resolve(why instanceof HttpProblem ? why : new HttpProblem('internal'));
    ended.addEventListener('abort', () => end(ended.reason), { once: true });
    res.onData((chunk, isLast) => {
      size += chunk.byteLength;
      if (size > most) {
        chunks.length = 0;
        return resolve(new HttpProblem('body-too-large', `at most ${most} bytes`));
      }
      // uWebSockets.js takes the chunk's memory back after this call.
      chunks.push(Buffer.from(new Uint8Array(chunk)));
      if (isLast) resolve({ text: Buffer.concat(chunks).toString('utf8') });
    });
  });
}
