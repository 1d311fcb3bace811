import { clock } from '../../core/clock.ts';
import { isLoopback, Networks } from '../../core/networks.ts';
import { newSecret, sameText } from '../../core/secrets.ts';

/** A token that opens the first session of an admin who has no password yet. */
export interface FirstSignIn {
  readonly token: string;
  /**
   * The user to sign in, or undefined when the token is wrong, used, older than 15 minutes, or comes from
   * another machine than this one and those of `from`.
   * The right token is good once: it is spent by the call that it succeeds in.
   */
  exchange(token: string, remoteAddress: string): string | undefined;
}

const GOOD_FOR_MS = 15 * 60_000;

/**
 * Makes a token for `user`, valid from now on. `from`: where besides this machine it is good. `now`: ms by a monotonic
 * clock.
 */
export function createFirstSignIn({
  user,
  from = new Networks(),
  now = clock.passed,
}: {
  user: string;
  from?: Networks;
  now?: () => number;
}): FirstSignIn {
  const token = newSecret();
  const until = now() + GOOD_FOR_MS;
  let spent = false;
  return {
    token,
    exchange(given, remoteAddress) {
      const right = sameText(given, token);
      const isNear = isLoopback(remoteAddress) || from.has(remoteAddress);
      if (!right || spent || now() >= until || !isNear) return undefined;
      spent = true;
      return user;
    },
  };
}
