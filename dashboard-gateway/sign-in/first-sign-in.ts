import { BlockList, isIP } from 'node:net';
import { newSecret, sameText } from '../../core/secrets.ts';

/** A token that opens the first session of an admin who has no password yet. */
export interface FirstSignIn {
  readonly token: string;
  /**
   * The user to sign in, or undefined when the token is wrong, used, older than 15 minutes, or comes from another machine.
   * The right token is good once: it is spent by the call that it succeeds in.
   */
  exchange(token: string, remoteAddress: string): string | undefined;
}

const GOOD_FOR_MS = 15 * 60_000;

const loopback = new BlockList();
loopback.addSubnet('127.0.0.0', 8, 'ipv4');
loopback.addAddress('::1', 'ipv6');

/** Whether an address (`127.0.0.1`, `::1`, `::ffff:127.0.0.1`) is this machine's own. */
export function isLoopback(address: string): boolean {
  const version = isIP(address);
  return version !== 0 && loopback.check(address, version === 6 ? 'ipv6' : 'ipv4');
}

/** A fresh token for `user`, good from now on. `now`: ms by a clock that nobody sets. */
export function createFirstSignIn({
  user,
  now = () => performance.now(),
}: {
  user: string;
  now?: () => number;
}): FirstSignIn {
  const token = newSecret();
  const until = now() + GOOD_FOR_MS;
  let spent = false;
  return {
    token,
    exchange(given, remoteAddress) {
      const right = sameText(given, token);
      if (!right || spent || now() >= until || !isLoopback(remoteAddress)) return undefined;
      spent = true;
      return user;
    },
  };
}
