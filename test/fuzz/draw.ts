import { Dice } from '../chaos/random.ts';

/** What chance decides in one case. The same seed decides the same. */
export class Draw {
  private readonly dice: Dice;

  constructor(seed: number) {
    this.dice = new Dice(seed);
  }

  /** Whether something happens that happens in so large a share of cases. */
  chance(share: number): boolean {
    return this.dice.next() < share;
  }

  /** A whole number from `low` to `high`, both included. */
  whole(low: number, high: number): number {
    return low + Math.floor(this.dice.next() * (high - low + 1));
  }

  one<T>(items: readonly T[]): T {
    const item = items[this.whole(0, items.length - 1)];
    if (item === undefined) throw new RangeError('there is nothing to draw from');
    return item;
  }

  /** A whole number from 1 to `most`: from 10 to 100 as often as from 100 to 1,000. */
  size(most: number): number {
    return Math.max(1, Math.floor(Math.max(1, most) ** this.dice.next()));
  }
}
