import ipaddr from 'ipaddr.js';

type Parsed = ReturnType<typeof ipaddr.parseCIDR>;

/** A set of IP addresses: single ones and networks, IPv4 and IPv6. */
export class Networks {
  private readonly list: readonly Parsed[];

  constructor(list: readonly Parsed[] = []) {
    this.list = list;
  }

  /**
   * Reads `10.0.0.1, 192.168.0.0/16, fd00::/8`; an empty text is the empty set. Undefined when a part is neither an
   * address nor a network.
   */
  static parse(text: string): Networks | undefined {
    const list: Parsed[] = [];
    for (const part of text.split(',').map((p) => p.trim())) {
      if (part === '' && text.trim() === '') continue;
      const network = networkOf(part);
      if (network === undefined) return undefined;
      list.push(network);
    }
    return new Networks(list);
  }

  get isEmpty(): boolean {
    return this.list.length === 0;
  }

  /** Whether `address` is in the set. An IPv4 address written inside an IPv6 one is the IPv4 address. */
  has(address: string): boolean {
    if (!ipaddr.isValid(address)) return false;
    const given = ipaddr.process(address);
    return this.list.some(([network, bits]) => given.kind() === network.kind() && given.match(network, bits));
  }
}

/** An address in its one usual form (`::ffff:10.0.0.1` is `10.0.0.1`), or undefined when it is none. */
export function usualAddress(text: string): string | undefined {
  return isAddress(text) ? ipaddr.process(text).toString() : undefined;
}

/**
 * The key of an address where something is counted for each address. IPv4, also when written as IPv6, is its own key.
 * IPv6 counts by its /64, because one customer gets a whole one. A text that is no address is its own key.
 */
export function countingKey(address: string): string {
  if (!ipaddr.isValid(address)) return address;
  const parsed = ipaddr.process(address);
  return parsed instanceof ipaddr.IPv6 ? parsed.parts.slice(0, 4).join(':') : parsed.toString();
}

/** Whether an address (`127.0.0.1`, `::1`, `::ffff:127.0.0.1`) is this machine's own. */
export function isLoopback(address: string): boolean {
  return ipaddr.isValid(address) && ipaddr.process(address).range() === 'loopback';
}

/** An address of 4 or 16 bytes as text; an IPv4 address inside an IPv6 one as IPv4. Other lengths, as of a Unix socket, are no address: ''. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length !== 4 && bytes.length !== 16) return '';
  return ipaddr.process(ipaddr.fromByteArray([...bytes]).toString()).toString();
}

function networkOf(text: string): Parsed | undefined {
  if (isAddress(text)) {
    const address = ipaddr.process(text);
    return [address, address.kind() === 'ipv4' ? 32 : 128];
  }
  return ipaddr.isValidCIDR(text) && isAddress(text.split('/', 1)[0] ?? '') ? ipaddr.parseCIDR(text) : undefined;
}

// The library also reads the short forms `10.1` and `0x7f000001`, which people mistake for something else.
function isAddress(text: string): boolean {
  return text.includes(':') ? ipaddr.IPv6.isValid(text) : ipaddr.IPv4.isValidFourPartDecimal(text);
}
