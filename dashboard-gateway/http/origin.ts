import { Networks, usualAddress } from '../../core/networks.ts';

/** How a gateway is reached, and which proxies it trusts. */
export interface Access {
  /** Whether the gateway itself speaks TLS. */
  readonly tls: boolean;
  /** Proxies whose `X-Forwarded-For` and `X-Forwarded-Proto` are believed. */
  readonly trusted: Networks;
}

/** Where a request comes from. */
export interface RequestClient {
  /** The client's own address, as far as it can be known. */
  readonly address: string;
  /** Whether the client speaks TLS, to the gateway or to a trusted proxy. */
  readonly secure: boolean;
}

const LONGEST_CHAIN = 20;

/**
 * The client behind a connection from `peer`, by `X-Forwarded-For` and `X-Forwarded-Proto`. These headers count only
 * when they come from a trusted proxy. Each proxy appends the address that it got the request from, so the list is read
 * from its end. The first address that is no trusted proxy is the client; the addresses before it are only a claim of
 * that client.
 */
export function clientOf(
  peer: string,
  forwardedFor: string,
  forwardedProto: string,
  { tls, trusted }: Access,
): RequestClient {
  if (!trusted.has(peer)) return { address: peer, secure: tls };
  const secure = tls || lastOf(forwardedProto).toLowerCase() === 'https';
  let address = peer;
  for (const hop of forwardedFor.split(',').slice(-LONGEST_CHAIN).reverse()) {
    const next = usualAddress(hop.trim());
    if (next === undefined) break;
    address = next;
    if (!trusted.has(next)) break;
  }
  return { address, secure };
}

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
