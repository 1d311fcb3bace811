import { LRUCache } from 'lru-cache';
import { countingKey } from '../../core/networks.ts';
import { TokenBucket, type TokenRate } from '../../core/token-bucket.ts';
import { retryLater } from './problem.ts';

const MAX_PLACES = 10_000;
/** Requests that one address may have under way, exports included. */
const MOST_AT_ONCE = 128;
const RATE: TokenRate = { perSecond: 200, burst: 1_000 };

/** Counts how many of something each address has at once, up to a limit. It remembers only addresses that have at least one. */
export class PerAddress {
  private readonly most: number;
  private readonly counts = new Map<string, number>();

  constructor(most: number) {
    this.most = most;
  }

  /** Counts one more for `address`, until `leave`. False, and not counted, when the address is at the limit. */
  take(address: string): boolean {
    const place = countingKey(address);
    const count = this.counts.get(place) ?? 0;
    if (count >= this.most) return false;
    this.counts.set(place, count + 1);
    return true;
  }

  /** To be called once for each `take` that was granted. */
  leave(address: string): void {
    const place = countingKey(address);
    const count = (this.counts.get(place) ?? 0) - 1;
    if (count > 0) this.counts.set(place, count);
    else this.counts.delete(place);
  }
}

/** Limits how many requests an address makes, at once and a second. It remembers the rates of the latest 10,000 addresses. */
export class RequestLimits {
  private readonly passed: () => number;
  private readonly atOnce = new PerAddress(MOST_AT_ONCE);
  private readonly rates = new LRUCache<string, TokenBucket>({ max: MAX_PLACES });

  /** `passed`: ms by a monotonic clock. */
  constructor(passed: () => number) {
    this.passed = passed;
  }

  /** Counts a request as open until `leave`. Throws HttpProblem `too-many-requests`; then `leave` must not be called. */
  enter(address: string): void {
    const place = countingKey(address);
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
