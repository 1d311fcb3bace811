import { clientAddress } from '../../core/forwarded.ts';
import { Networks } from '../../core/networks.ts';
import { HttpProblem, wrongHost } from './problem.ts';
import type { HttpRequest } from './uws.ts';

/** How a gateway is reached, and which proxies it trusts. */
export interface Access {
  /** Whether the gateway itself speaks TLS. */
  readonly tls: boolean;
  /** Proxies whose `X-Forwarded-For`, `X-Forwarded-Proto` and `X-Forwarded-Host` are believed. */
  readonly trusted: Networks;
  /** Where people reach it. Absent: by any name. */
  readonly publicUrl?: URL | undefined;
}

/** Where a request comes from. */
export interface RequestClient {
  /** The client's own address, as far as it can be known. */
  readonly address: string;
  /** Whether the client speaks TLS, to the gateway or to a trusted proxy. */
  readonly secure: boolean;
  /** The name and port by which a trusted proxy says that it was reached; undefined when none does. */
  readonly host: string | undefined;
}

/** What proxies say of a request: the lines of each header joined with commas, in the order in which they came. */
export interface Forwarded {
  readonly by: string;
  readonly proto: string;
  readonly host: string;
  /** Whether a proxy left any mark, also one that is not believed. */
  readonly marked: boolean;
}

const MARKS: ReadonlySet<string> = new Set([
  'forwarded',
  'x-forwarded-for',
  'x-forwarded-proto',
  'x-forwarded-host',
  'x-real-ip',
  'via',
]);

/**
 * Collects what proxies say. A header may come twice: a client sends one, and its proxy adds another. uWebSockets.js
 * gives by name only the first of them, which is the client's own claim.
 */
export function readForwarded(req: Pick<HttpRequest, 'forEach'>): Forwarded {
  const by: string[] = [];
  const proto: string[] = [];
  const host: string[] = [];
  let marked = false;
  req.forEach((name, value) => {
    if (!MARKS.has(name)) return;
    marked = true;
    if (name === 'x-forwarded-for') by.push(value);
    else if (name === 'x-forwarded-proto') proto.push(value);
    else if (name === 'x-forwarded-host') host.push(value);
  });
  return { by: by.join(','), proto: proto.join(','), host: host.join(','), marked };
}

/**
 * The client behind a connection from `peer`. `X-Forwarded-For` and `X-Forwarded-Proto` count only when they come from
 * a trusted proxy; of the protocols, the last one, which that proxy wrote. `Forwarded` (RFC 7239) is not believed: a
 * proxy that keeps one of the two lets its client write the other.
 */
export function clientOf(
  peer: string,
  { by, proto, host = '' }: Pick<Forwarded, 'by' | 'proto'> & Partial<Pick<Forwarded, 'host'>>,
  { tls, trusted }: Access,
): RequestClient {
  if (!trusted.has(peer)) return { address: peer, secure: tls, host: undefined };
  const secure = tls || lastOf(proto).toLowerCase() === 'https';
  return { address: clientAddress(peer, by, trusted), secure, host: lastOf(host) || undefined };
}

/** The token of an `Authorization: Bearer` header; undefined for any other header, and for none. */
export function bearerOf(authorization: string): string | undefined {
  return /^Bearer ([\w.~+/=-]+)$/i.exec(authorization)?.[1];
}

/** The Host line; when there are several, all of them with commas, which no host has. uWebSockets.js gives by name only the first. */
export function hostOf(req: Pick<HttpRequest, 'forEach'>): string {
  const hosts: string[] = [];
  req.forEach((name, value) => {
    if (name === 'host') hosts.push(value);
  });
  return hosts.join(',');
}

/**
 * Why a request is refused for the host that it names: `invalid-request` when that is not one host, with a port or
 * without, `wrong-host` when it is another than people know. A client of HTTP/1.0 may name none.
 */
export function hostProblem(asked: AskedOf, publicUrl: URL | undefined): HttpProblem | undefined {
  const { host } = asked.headers;
  const found = /^(?:\[[0-9a-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/i.exec(host);
  const port = Number(found?.[1] ?? 80);
  if (host !== '' && (found === null || port < 1 || port > 65_535)) {
    return new HttpProblem('invalid-request', 'Host: not one host with its port');
  }
  return isOwnHost(asked, publicUrl) ? undefined : wrongHost(publicUrl);
}

/** Where a password is shown: a token says nothing there. */
const SIGN_IN = '/api/login';

/** What a browser was told to ask, and what shows who asks. */
interface AskedOf {
  readonly path: string;
  readonly headers: {
    readonly host: string;
    readonly origin: string;
    readonly cookie: string;
    readonly authorization: string;
  };
}

/**
 * Whether a browser asks by the name that people know, where that is set. A page elsewhere can have a name of its own lead to this machine, and is then
 * the same site to a browser. Programs, which have neither cookie nor origin, may use any name, and so may who is on this machine or brings a token:
 * then a cookie counts for nothing.
 */
function isOwnHost({ path, headers }: AskedOf, publicUrl: URL | undefined): boolean {
  const { host, origin, cookie, authorization } = headers;
  if (publicUrl === undefined || (cookie === '' && origin === '')) return true;
  if (bearerOf(authorization) !== undefined && !isSignIn(path)) return true;
  const asked = withoutDefaultPort(host.toLowerCase(), publicUrl.protocol);
  return asked === publicUrl.host || LOOPBACK.test(asked);
}

/** Routes are found by what a path says, so its letters may be percent-encoded. */
function isSignIn(path: string): boolean {
  try {
    return decodeURIComponent(path) === SIGN_IN;
  } catch {
    return false;
  }
}

const LOOPBACK = /^(?:localhost|127(?:\.\d{1,3}){3}|\[::1\])(?::\d{1,5})?$/;

/** A gateway without TLS that trusts no proxy. */
export const DIRECT: Access = { tls: false, trusted: new Networks() };

/**
 * Whether a request was made by a page of this very gateway, or by no page at all.
 * Browsers send `Origin` with every state-changing request and every WebSocket handshake; other programs need not.
 */
export function isSameOrigin({
  headers,
  secure,
}: {
  headers: { origin: string; host: string };
  secure: boolean;
}): boolean {
  const { origin, host } = headers;
  if (origin === '') return true;
  const url = URL.canParse(origin) ? new URL(origin) : undefined;
  if (url === undefined || url.host.toLowerCase() !== withoutDefaultPort(host.toLowerCase(), url.protocol))
    return false;
  // A page that came without TLS may have been changed on its way, so a client that speaks TLS must send an `https:`
  // origin. Without TLS both are accepted: a proxy that is not configured as trusted may speak TLS.
  return !secure || url.protocol === 'https:';
}

// A URL's host leaves out its scheme's own port; a Host header may still name it.
function withoutDefaultPort(host: string, protocol: string): string {
  const port = protocol === 'https:' ? ':443' : ':80';
  return host.endsWith(port) ? host.slice(0, -port.length) : host;
}

function lastOf(list: string): string {
  return list.slice(list.lastIndexOf(',') + 1).trim();
}
