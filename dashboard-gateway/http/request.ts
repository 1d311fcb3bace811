import { addressText } from '../../core/networks.ts';
import { type Access, clientOf, hostOf, readForwarded } from './origin.ts';
import type { HttpRequest, HttpResponse } from './uws.ts';

/** The headers that the gateway reads; an absent header is an empty string. */
export interface Headers {
  readonly host: string;
  readonly origin: string;
  readonly cookie: string;
  readonly authorization: string;
  readonly contentType: string;
  readonly ifMatch: string;
  readonly ifNoneMatch: string;
  readonly acceptEncoding: string;
  readonly userAgent: string;
  /** Whether the request came through a proxy, by any header that proxies write. */
  readonly forwarded: boolean;
}

/** A copy of one request: that of uWebSockets.js is valid only until its handler returns. */
export interface Request {
  readonly method: string;
  /** As it was sent, percent-encoding included. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  /** The client's own address, also behind trusted proxies. */
  readonly remoteAddress: string;
  /** Whether the client speaks TLS, to the gateway or to a trusted proxy. */
  readonly secure: boolean;
  readonly body: string;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
}

/** A request before its body has come. */
export type RequestHead = Omit<Request, 'body' | 'signal'>;

/** What can be known of a request before its body has come. Call it before anything asynchronous. */
export function readHead(res: HttpResponse, req: HttpRequest, access: Access): RequestHead {
  const peer = addressText(new Uint8Array(res.getRemoteAddress()));
  const forwarded = readForwarded(req);
  const client = clientOf(peer, forwarded, access);
  const own = hostOf(req);
  return {
    method: req.getMethod().toUpperCase(),
    path: req.getUrl(),
    query: new URLSearchParams(req.getQuery() ?? ''),
    headers: {
      // Two Host lines are refused, whatever a proxy says.
      host: own.includes(',') ? own : (client.host ?? own),
      origin: req.getHeader('origin'),
      cookie: req.getHeader('cookie'),
      authorization: req.getHeader('authorization'),
      contentType: req.getHeader('content-type'),
      ifMatch: req.getHeader('if-match'),
      ifNoneMatch: req.getHeader('if-none-match'),
      acceptEncoding: req.getHeader('accept-encoding'),
      userAgent: req.getHeader('user-agent'),
      forwarded: forwarded.marked,
    },
    remoteAddress: client.address,
    secure: client.secure,
  };
}
