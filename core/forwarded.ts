import { type Networks, usualAddress } from './networks.ts';

/** Most proxies in a row. What stands before them in a header is not looked at. */
const LONGEST_CHAIN = 20;

/**
 * The address of the client behind a connection from `peer`, by the values of all its `X-Forwarded-For` lines, joined
 * with commas in the order in which they came. They count only when they come from a trusted proxy. Each proxy appends
 * the address that it got the request from, to the line that is there or as a line of its own, so the list is read from
 * its end. The first address that is no trusted proxy is the client; what stands before it is only a claim of that
 * client. Where a hop is no address, the proxy that wrote it does not know more: its own address is the answer.
 */
export function clientAddress(peer: string, forwardedFor: string, trusted: Networks): string {
  if (forwardedFor === '' || !trusted.has(peer)) return peer;
  let address = peer;
  for (const hop of forwardedFor.split(',').slice(-LONGEST_CHAIN).reverse()) {
    const next = usualAddress(withoutPort(hop.trim()));
    if (next === undefined) break;
    address = next;
    if (!trusted.has(next)) break;
  }
  return address;
}

/** Some proxies write the client's port, too: `192.0.2.7:51000`, `[2001:db8::7]:51000`, or the brackets alone. */
function withoutPort(hop: string): string {
  const bracketed = /^\[([^[\]]*)\](?::\d{1,5})?$/.exec(hop);
  if (bracketed) return bracketed[1] ?? '';
  const colon = hop.indexOf(':');
  return colon !== -1 && colon === hop.lastIndexOf(':') ? hop.slice(0, colon) : hop;
}
