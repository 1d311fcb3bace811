/** So many may come a second, and so many at once after a silence. */
export interface TokenRate {
  readonly perSecond: number;
  readonly burst: number;
}

/**
 * A token bucket: full at first, and refilled at a rate up to its burst. What is taken may be more than there is, once, so that one thing
 * larger than the bucket goes through; the next then waits longer. Times are ms by a clock that nobody sets.
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

  /** How many ms until there is a whole token again; 0: now. */
  waitMs(now: number): number {
    const { perSecond, burst } = this.rate;
    this.left = Math.min(burst, this.left + ((now - this.filledAt) / 1_000) * perSecond);
    this.filledAt = now;
    return this.left >= 1 ? 0 : Math.ceil(((1 - this.left) / perSecond) * 1_000);
  }

  take(count: number): void {
    this.left -= count;
  }

  /** Takes one when there is one; false when not. */
  tryTake(now: number): boolean {
    if (this.waitMs(now) > 0) return false;
    this.take(1);
    return true;
  }

  /** Another rate holds from now on. */
  change(rate: TokenRate): void {
    this.rate = rate;
  }
}
