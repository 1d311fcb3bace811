import ipaddr from 'ipaddr.js';

type Parsed = ReturnType<typeof ipaddr.parseCIDR>;

/** A set of IP addresses: single ones and networks, IPv4 and IPv6. */
export class Networks {
  private readonly list: readonly Parsed[];

  constructor(list: readonly Parsed[] = []) {
    this.list = list;
  }

  /** Reads `10.0.0.1, 192.168.0.0/16, fd00::/8`; an empty text is the empty set. Undefined when a part of it is no address and no network. */
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
