import { STATUS_CODES } from 'node:http';
import { withDeadline } from '../../core/timing.ts';
import { type Reply, type Streamed, secured } from './reply.ts';
import type { RequestHead } from './request.ts';
import type { HttpResponse } from './uws.ts';

/** How long a client may read nothing of a stream before the stream is cut short. */
const STALLED_MS = 60_000;

/** Writes an answer, with the headers that every answer carries. Not to be called after `onAborted`. */
export function writeReply(res: HttpResponse, head: RequestHead, reply: Reply, close: boolean): void {
  const { status, body = '' } = reply;
  res.cork(() => {
    writeHead(res, head, reply);
    if (close) res.writeHeader('connection', 'close');
    // Where an answer has no body, uWebSockets.js must not be told a length: it would wait for that many bytes, and
    // even `undefined` counts as 0.
    if (status === 204 || status === 304) res.endWithoutBody();
    else if (head.method === 'HEAD') {
      res.writeHeader('content-length', String(Buffer.byteLength(body))).endWithoutBody();
    } else res.end(body, close);
  });
}

/**
 * Writes a stream that begins with the piece `first`. The next piece is written only when the client has taken what was
 * written before. Resolves when all is written. Rejects when `ending` is aborted, when the client takes nothing for a
 * minute, or when the next piece cannot be made. The answer is then cut short.
 */
export async function writeStream(
  res: HttpResponse,
  head: RequestHead,
  reply: Streamed,
  first: IteratorResult<string>,
  ending: AbortSignal,
): Promise<void> {
  let wake = () => {};
  res.onWritable(() => {
    wake();
    return true;
  });
  ending.addEventListener('abort', () => wake(), { once: true });
  ending.throwIfAborted();
  res.cork(() => writeHead(res, head, reply));
  for (let piece = first; !piece.done; piece = await reply.pieces.next()) {
    ending.throwIfAborted();
    const writable = new Promise<void>((resolve) => {
      wake = resolve;
    });
    let taken = true;
    res.cork(() => {
      taken = res.write(piece.value);
    });
    if (!taken) await withDeadline(writable, STALLED_MS, 'the client takes nothing');
    ending.throwIfAborted();
  }
  ending.throwIfAborted();
  res.cork(() => res.end());
}

function writeHead(res: HttpResponse, { secure }: RequestHead, reply: Reply | Streamed): void {
  const { status, headers } = secured(reply, secure);
  res.writeStatus(`${status} ${STATUS_CODES[status] ?? 'Status'}`);
  for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
  if ('cookies' in reply) for (const cookie of reply.cookies ?? []) res.writeHeader('set-cookie', cookie);
}
