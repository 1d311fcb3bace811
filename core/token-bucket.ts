/** `perSecond` tokens are added every second; `burst` is the most that the bucket holds. */
export interface TokenRate {
  readonly perSecond: number;
  readonly burst: number;
}

/**
 * A token bucket: full at first, and refilled at a rate up to its burst. `take` may take more than is left, so that one
 * thing larger than the bucket can pass; the next then waits longer. Times are ms of a monotonic clock.
 */
export class TokenBucket {
  private rate: TokenRate;
  private left: number;
  private filledAt: number;

  constructor(rate: TokenRate, now: number) {
    this.rate = rate;
    this.left = rate.burst;
    this.filledAt = now;
  }

  /** How many ms until there is a whole token again; 0 when there is one now. */
  waitMs(now: number): number {
    const { perSecond, burst } = this.rate;
    this.left = Math.min(burst, this.left + ((now - this.filledAt) / 1_000) * perSecond);
    this.filledAt = now;
    return this.left >= 1 ? 0 : Math.ceil(((1 - this.left) / perSecond) * 1_000);
  }

  take(count: number): void {
    this.left -= count;
  }

  /** Takes one token; false when there is none. */
  tryTake(now: number): boolean {
    if (this.waitMs(now) > 0) return false;
    this.take(1);
    return true;
  }

  /** Sets another rate. It also counts for the time since the last `waitMs`. */
  change(rate: TokenRate): void {
    this.rate = rate;
  }
}
