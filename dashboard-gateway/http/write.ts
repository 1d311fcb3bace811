import type { HttpResponse } from '../uws.ts';
import { type Reply, secured } from './reply.ts';
import type { Head } from './request.ts';

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
export function writeReply(res: HttpResponse, { method, secure }: Head, reply: Reply, close: boolean): void {
  const { status, headers, body = '' } = secured(reply, secure);
  res.cork(() => {
    res.writeStatus(`${status} ${REASONS[status] ?? 'Status'}`);
    for (const [name, value] of Object.entries(headers)) res.writeHeader(name, value);
    if (close) res.writeHeader('connection', 'close');
    // Without a body a length must not be told to uWebSockets.js: it would wait for that many bytes, and even `undefined` counts as 0.
    if (status === 204 || status === 304) res.endWithoutBody();
    else if (method === 'HEAD') res.writeHeader('content-length', String(Buffer.byteLength(body))).endWithoutBody();
    else res.end(body, close);
  });
}
