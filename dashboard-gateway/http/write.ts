import type { HttpResponse } from '../uws.ts';
import { type Reply, secured } from './reply.ts';

const REASONS: Readonly<Record<number, string>> = {
  200: 'OK',
  204: 'No Content',
  304: 'Not Modified',
  400: 'Bad Request',
  401: 'Unauthorized',
  403: 'Forbidden',
  404: 'Not Found',
  405: 'Method Not Allowed',
  413: 'Content Too Large',
  415: 'Unsupported Media Type',
  429: 'Too Many Requests',
  500: 'Internal Server Error',
  503: 'Service Unavailable',
};

/** Writes an answer, with the headers that every answer carries. Not to be called after `onAborted`. */
export function writeReply(res: HttpResponse, method: string, reply: Reply, close: boolean): void {
  const { status, headers, body = '' } = secured(reply);
  res.cork(() => {
    res.writeStatus(`${status} ${REASONS[status] ?? 'Status'}`);
    for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
    if (close) res.writeHeader('connection', 'close');
    if (status === 204 || status === 304) res.endWithoutBody(undefined, close);
    else if (method === 'HEAD') {
      // Told a length, uWebSockets.js would wait for that many bytes to be sent: the header is written by hand.
      res.writeHeader('content-length', String(Buffer.byteLength(body)));
      res.endWithoutBody(undefined, close);
    } else res.end(body, close);
  });
}
