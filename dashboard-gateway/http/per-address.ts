import { LRUCache } from 'lru-cache';
import { placeOf } from '../../core/networks.ts';
import { TokenBucket, type TokenRate } from '../../core/token-bucket.ts';
import { retryLater } from './problem.ts';

const MAX_PLACES = 10_000;
/** Requests that one address may have under way, exports included. */
const MOST_AT_ONCE = 128;
const RATE: TokenRate = { perSecond: 200, burst: 1_000 };

/** Lets each address have so many of something at once. As large as there are addresses that have one. */
export class PerAddress {
  private readonly most: number;
  private readonly counts = new Map<string, number>();

  constructor(most: number) {
    this.most = most;
  }

  /** Whether `address` may have one more; if so it has it until `leave`. */
  take(address: string): boolean {
    const place = placeOf(address);
    const count = this.counts.get(place) ?? 0;
    if (count >= this.most) return false;
    this.counts.set(place, count + 1);
    return true;
  }

  /** To be called once for each `take` that was granted. */
  leave(address: string): void {
    const place = placeOf(address);
    const count = (this.counts.get(place) ?? 0) - 1;
    if (count > 0) this.counts.set(place, count);
    else this.counts.delete(place);
  }
}

/** How many requests an address may make: at once, and a second. It remembers the 10,000 addresses that asked last. */
export class RequestLimits {
  private readonly passed: () => number;
  private readonly atOnce = new PerAddress(MOST_AT_ONCE);
  private readonly rates = new LRUCache<string, TokenBucket>({ max: MAX_PLACES });

  /** `passed`: ms by a clock that nobody sets. */
  constructor(passed: () => number) {
    this.passed = passed;
  }

  /** Counts a request until `leave`. Throws HttpProblem `too-many-requests`, and then does not count it. */
  enter(address: string): void {
    const place = placeOf(address);
    let rate = this.rates.get(place);
    if (rate === undefined) {
      rate = new TokenBucket(RATE, this.passed());
      this.rates.set(place, rate);
    }
    if (!rate.tryTake(this.passed()) || !this.atOnce.take(address)) throw retryLater('too-many-requests', 1);
  }

  leave(address: string): void {
    this.atOnce.leave(address);
  }
}
