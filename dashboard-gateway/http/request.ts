import { type Access, clientOf } from './origin.ts';
import type { HttpRequest, HttpResponse } from './uws.ts';

/** The headers that anything here looks at; an absent one is an empty string. */
export interface Headers {
  readonly host: string;
  readonly origin: string;
  readonly cookie: string;
  readonly authorization: string;
  readonly contentType: string;
  readonly ifNoneMatch: string;
  readonly acceptEncoding: string;
  /** Whether a proxy says that the request came through it. */
  readonly forwarded: boolean;
}

/** One request, copied: uWebSockets.js takes its own back as soon as the handler returns. */
export interface Request {
  readonly method: string;
  /** As it was sent, percent-encoding included. */
  readonly path: string;
  readonly query: URLSearchParams;
  readonly headers: Headers;
  /** The client's, behind trusted proxies too. */
  readonly remoteAddress: string;
  /** Whether the client speaks TLS, to the gateway or to a trusted proxy. */
  readonly secure: boolean;
  readonly body: string;
  /** Aborted when the client leaves. */
  readonly signal: AbortSignal;
}

/** A request before its body has come. */
export type Head = Omit<Request, 'body' | 'signal'>;

/** What can be known of a request before its body has come. Call it before anything asynchronous. */
export function readHead(res: HttpResponse, req: HttpRequest, access: Access): Head {
  const peer = addressText(new Uint8Array(res.getRemoteAddress()));
  const forwardedFor = req.getHeader('x-forwarded-for');
  const client = clientOf(peer, forwardedFor, req.getHeader('x-forwarded-proto'), access);
  return {
    method: req.getMethod().toUpperCase(),
    path: req.getUrl(),
    query: new URLSearchParams(req.getQuery() ?? ''),
    headers: {
      host: req.getHeader('host'),
      origin: req.getHeader('origin'),
      cookie: req.getHeader('cookie'),
      authorization: req.getHeader('authorization'),
      contentType: req.getHeader('content-type'),
      ifNoneMatch: req.getHeader('if-none-match'),
      acceptEncoding: req.getHeader('accept-encoding'),
      forwarded: req.getHeader('forwarded') !== '' || forwardedFor !== '',
    },
    remoteAddress: client.address,
    secure: client.secure,
  };
}

/** An address of 4 or 16 bytes as text; an IPv4 address inside an IPv6 one as IPv4. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const mapped = bytes.subarray(0, 10).every((b) => b === 0) && bytes[10] === 0xff && bytes[11] === 0xff;
  if (mapped) return bytes.subarray(12).join('.');
  const groups: string[] = [];
  for (let i = 0; i + 1 < bytes.length; i += 2)
    groups.push((((bytes[i] ?? 0) << 8) | (bytes[i + 1] ?? 0)).toString(16));
  return groups.join(':');
}

/** The value of cookie `name`, or undefined. */
export function cookieValue(header: string, name: string): string | undefined {
  for (const part of header.split(';')) {
    const [key, ...value] = part.trim().split('=');
    if (key === name) return value.join('=');
  }
  return undefined;
}
