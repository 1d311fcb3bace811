import { countingKey } from '../../core/networks.ts';

const FORGET_AFTER_MS = 15 * 60_000;
const MAX_BLOCK_MS = 15 * 60_000;
const MAX_KEYS = 10_000;

/** Failed attempts before waiting begins: few for one user at one address, more where many people may share a count. */
const FREE = { pair: 5, address: 20, user: 100 } as const;
type CountKind = keyof typeof FREE;

interface Tries {
  readonly count: number;
  readonly last: number;
  readonly blockedUntil: number;
}

/**
 * Slows down the guessing of passwords: per user at one address, per address, and per user from anywhere. After the
 * free failures each further one doubles the wait, from a second to 15 minutes. It remembers the latest 10,000.
 */
export class Throttle {
  private readonly tries = new Map<string, Tries>();
  private readonly passed: () => number;

  /** `passed`: ms by a monotonic clock. */
  constructor(passed: () => number) {
    this.passed = passed;
  }

  /**
   * Begins an attempt. Returns how many ms `user` must wait before an attempt from `address`; 0: it may be made now. It
   * counts as failed until `succeeded` is called, so that many attempts at once are slowed like many one after another.
   */
  begin(user: string, address: string): number {
    const now = this.passed();
    const keys = keysOf(user, address);
    const wait = Math.max(0, ...keys.map(([, key]) => (this.tries.get(key)?.blockedUntil ?? 0) - now));
    if (wait > 0) return wait;
    for (const [kind, key] of keys) this.count(kind, key, now);
    return 0;
  }

  /** The attempt did not fail: it is not counted, and the count of the user at this address starts again at 0. */
  succeeded(user: string, address: string): void {
    for (const [kind, key] of keysOf(user, address)) {
      const tries = this.tries.get(key);
      if (kind === 'pair' || !tries || tries.count <= 1) this.tries.delete(key);
      else this.tries.set(key, { count: tries.count - 1, last: tries.last, blockedUntil: 0 });
    }
  }

  private count(kind: CountKind, key: string, now: number): void {
    const before = this.tries.get(key);
    const count = before && now - before.last < FORGET_AFTER_MS ? before.count + 1 : 1;
    const over = count - FREE[kind];
    const blockedUntil = over < 0 ? 0 : now + Math.min(1000 * 2 ** over, MAX_BLOCK_MS);
    // Deleted first, so that the map's order is that of the last try and the oldest can go.
    this.tries.delete(key);
    this.tries.set(key, { count, last: now, blockedUntil });
    if (this.tries.size <= MAX_KEYS) return;
    const oldest = this.tries.keys().next();
    if (!oldest.done) this.tries.delete(oldest.value);
  }
}

function keysOf(user: string, address: string): readonly (readonly [CountKind, string])[] {
  const place = countingKey(address);
  return [
    ['pair', `pair ${place} ${user}`],
    ['address', `address ${place}`],
    ['user', `user ${user}`],
  ];
}
