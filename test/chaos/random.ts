/** Numbers that look random and are the same for the same seed (mulberry32). */
export class Dice {
  private state: number;

  constructor(seed: number) {
    this.state = seed >>> 0;
  }

  /** From 0 up to 1. */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) >>> 0;
    let mixed = this.state;
    mixed = Math.imul(mixed ^ (mixed >>> 15), mixed | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  }

  between(low: number, high: number): number {
    return low + this.next() * (high - low);
  }

  /** Every item once, in an order of chance; with more wanted than there are, again from the beginning in another order. */
  draw<T>(items: readonly T[], count: number): T[] {
    const drawn: T[] = [];
    while (drawn.length < count && items.length > 0) {
      const left = [...items];
      while (left.length > 0 && drawn.length < count) {
        drawn.push(...left.splice(Math.floor(this.next() * left.length), 1));
      }
    }
    return drawn;
  }
}
