/** Lets a burst of messages through and then so many a second. */
export class MessageRate {
  private left: number;
  private last: number;
  private readonly burst: number;
  private readonly perSecond: number;

  constructor(burst: number, perSecond: number, now: number) {
    this.burst = burst;
    this.perSecond = perSecond;
    this.left = burst;
    this.last = now;
  }

  /** Whether one more message at `now` (ms) is within the rate. */
  take(now: number): boolean {
    this.left = Math.min(this.burst, this.left + ((now - this.last) / 1000) * this.perSecond);
    this.last = now;
    if (this.left < 1) return false;
    this.left--;
    return true;
  }
}
