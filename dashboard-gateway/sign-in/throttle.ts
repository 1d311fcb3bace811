import { LRUCache } from 'lru-cache';
import { countingKey } from '../../core/networks.ts';

const FORGET_AFTER_MS = 15 * 60_000;
const MAX_BLOCK_MS = 15 * 60_000;
const MAX_KEYS = 10_000;

/** Failed attempts before waiting begins: few for one user at one address or from one browser, more where many people may share a count. */
const FREE = { pair: 5, address: 20, browser: 5, token: 20 } as const;
type CountKind = keyof typeof FREE;

/** Attempts of strangers for one user, from all addresses together: so many at once, then one each time that passed. */
const STRANGERS_AT_ONCE = 100;
const STRANGERS_EACH_MS = 30_000;

interface Tries {
  readonly count: number;
  readonly last: number;
  readonly blockedUntil: number;
}

/**
 * Slows down the guessing of passwords. A wait is for who guesses, and for nobody else:
 *
 * - A browser that was signed in before is counted by itself alone.
 * - Others are counted per user at one address, and per address. After the free failures each further one doubles the
 *   wait, from a second to 15 minutes.
 * - All others together, wherever they are, have a rate of attempts for one user. Addresses where the user was signed
 *   in have no part in it.
 *
 * It remembers the latest 10,000 of each kind.
 */
export class Throttle {
  private readonly tries: Readonly<Record<CountKind, LRUCache<string, Tries>>> = {
    pair: new LRUCache({ max: MAX_KEYS }),
    address: new LRUCache({ max: MAX_KEYS }),
    browser: new LRUCache({ max: MAX_KEYS }),
    token: new LRUCache({ max: MAX_KEYS }),
  };
  /** Until when the attempts of strangers are spent, for each user: a time of `passed`, ms. */
  private readonly strangers = new LRUCache<string, number>({ max: MAX_KEYS });
  /** Where a user was signed in. */
  private readonly known = new LRUCache<string, true>({ max: MAX_KEYS });
  private readonly passed: () => number;

  /** `passed`: ms by a monotonic clock. */
  constructor(passed: () => number) {
    this.passed = passed;
  }

  /**
   * Begins an attempt. Returns how many ms `user` must wait before an attempt from `address`; 0: it may be made now. It
   * counts as failed until `succeeded` is called, so that many attempts at once are slowed like many one after another.
   * `browser`: the id of a browser that was here before.
   */
  begin(user: string, address: string, browser?: string): number {
    const now = this.passed();
    const keys = keysOf(user, address, browser);
    const strange = browser === undefined && !this.knows(user, address);
    const waits = keys.map(([kind, key]) => (this.tries[kind].get(key)?.blockedUntil ?? 0) - now);
    const spent = Math.max(this.strangers.get(user) ?? 0, now);
    if (strange) waits.push(spent - now - (STRANGERS_AT_ONCE - 1) * STRANGERS_EACH_MS);
    const wait = Math.max(0, ...waits);
    if (wait > 0) return wait;
    for (const [kind, key] of keys) this.count(kind, key, now);
    if (strange) this.strangers.set(user, spent + STRANGERS_EACH_MS);
    return 0;
  }

  /**
   * The attempt did not fail: it is not counted, the count of the user at this address or of the browser starts again at
   * 0, and strangers elsewhere slow the user at this address no more.
   */
  succeeded(user: string, address: string, browser?: string): void {
    for (const [kind, key] of keysOf(user, address, browser)) {
      const tries = this.tries[kind].get(key);
      if (kind !== 'address' || !tries || tries.count <= 1) this.tries[kind].delete(key);
      else this.tries[kind].set(key, { count: tries.count - 1, last: tries.last, blockedUntil: 0 });
    }
    const spent = this.strangers.get(user);
    if (browser === undefined && spent !== undefined && !this.knows(user, address)) {
      this.strangers.set(user, spent - STRANGERS_EACH_MS);
    }
    this.known.set(pairOf(user, address), true);
  }

  /** Whether the user was signed in at this address. */
  knows(user: string, address: string): boolean {
    return this.known.get(pairOf(user, address)) === true;
  }

  /** Counts a wrong one-time token from `address`. Returns how many ms to wait, 0 for the first ones. A right one is not asked about. */
  wrongToken(address: string): number {
    const now = this.passed();
    const place = countingKey(address);
    const wait = (this.tries.token.get(place)?.blockedUntil ?? 0) - now;
    if (wait > 0) return wait;
    this.count('token', place, now);
    return 0;
  }

  private count(kind: CountKind, key: string, now: number): void {
    const before = this.tries[kind].get(key);
    // After a long wait it takes as long again, or who guesses would have the free ones anew at its end.
    const keep = before && Math.max(FORGET_AFTER_MS, 2 * (before.blockedUntil - before.last));
    const isRecent = before && keep !== undefined && now - before.last < keep;
    const count = isRecent ? before.count + 1 : 1;
    const over = count - FREE[kind];
    const blockedUntil = over < 0 ? 0 : now + Math.min(1000 * 2 ** over, MAX_BLOCK_MS);
    this.tries[kind].set(key, { count, last: now, blockedUntil });
  }
}

function keysOf(user: string, address: string, browser: string | undefined): readonly (readonly [CountKind, string])[] {
  if (browser !== undefined) return [['browser', browser]];
  return [
    ['pair', pairOf(user, address)],
    ['address', countingKey(address)],
  ];
}

function pairOf(user: string, address: string): string {
  return `${countingKey(address)} ${user}`;
}
