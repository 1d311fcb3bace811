import { countingKey } from '../../core/networks.ts';

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
