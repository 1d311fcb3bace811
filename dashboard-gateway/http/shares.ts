/** Counts how many of something are under way at once, in all and of each share: a user, a farm, an address. */
export class Shares {
  private readonly most: number;
  private readonly mostOfOne: number;
  private readonly counts = new Map<string, number>();
  private total = 0;

  constructor(most: number, mostOfOne: number) {
    this.most = most;
    this.mostOfOne = mostOfOne;
  }

  get size(): number {
    return this.total;
  }

  /** Whether there is room for one more that counts for all of `shares`. */
  hasRoom(shares: readonly string[]): boolean {
    return this.total < this.most && shares.every((share) => this.of(share) < this.mostOfOne);
  }

  /** Counts one more, until `leave`. False, and not counted, when there is no room. */
  take(shares: readonly string[]): boolean {
    if (!this.hasRoom(shares)) return false;
    this.total += 1;
    for (const share of shares) this.counts.set(share, this.of(share) + 1);
    return true;
  }

  /** To be called once for each `take` that was granted, with the same shares. */
  leave(shares: readonly string[]): void {
    this.total -= 1;
    for (const share of shares) {
      const left = this.of(share) - 1;
      if (left > 0) this.counts.set(share, left);
      else this.counts.delete(share);
    }
  }

  of(share: string): number {
    return this.counts.get(share) ?? 0;
  }
}
