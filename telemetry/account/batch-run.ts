import { randomBytes } from 'node:crypto';
import { type BatchPlace, runId } from './batch-place.ts';
import type { BeatNote } from './notes.ts';
import { NumberRanges } from './number-ranges.ts';

/** With more ranges of numbers than this, a run takes no more: whoever numbers batches begins another one. */
const MOST_RANGES = 1_000;

/**
 * One run of an entrance: it numbers its batches from 1, and knows up to which number all are confirmed by the queue, but
 * for those that were given up.
 *
 * "Confirmed up to n" passes a number that was given up only when a beat has said so: whoever hears that n is confirmed
 * has heard before which numbers below it never will be.
 */
export class BatchRun {
  /** 72 bits that no other run has. */
  readonly id: string;
  private readonly settled = new NumberRanges();
  private readonly unsaid = new NumberRanges();
  private given = 0;
  private confirmedUpTo = 0;

  /** `doubted`: nobody believes the clock that its times of receipt are by. */
  constructor(doubted = false) {
    this.id = runId(randomBytes(9).toString('base64url'), doubted);
  }

  get isUnused(): boolean {
    return this.given === 0;
  }

  /** Whether the queue has confirmed all numbers that were given, but for those that others have heard to be given up. */
  get isSettled(): boolean {
    return this.confirmedUpTo === this.given && this.unsaid.size === 0;
  }

  /** Whether another run has to be begun: too much of this one is open. */
  get isFull(): boolean {
    return this.settled.size + this.unsaid.size > MOST_RANGES;
  }

  /** The number for the next batch. */
  next(): number {
    this.given += 1;
    return this.given;
  }

  /** The place of the batch `number`, as it is said in the batch that goes to the queue now. */
  place(number: number): BatchPlace {
    return { run: this.id, number, confirmed: this.confirmedUpTo };
  }

  /** The queue has confirmed the batch `number`. */
  confirmed(number: number): void {
    this.settle(number, number);
  }

  /** The batch `number` is not tried any more, and the queue has not confirmed it. */
  gaveUp(number: number): void {
    this.unsaid.add(number);
  }

  /** What a beat says of the run. Call `said` with it when others can read it. */
  beat(): Pick<BeatNote, 'run' | 'given' | 'confirmed' | 'gaveUp'> {
    return { run: this.id, given: this.given, confirmed: this.confirmedUpTo, gaveUp: [...this.unsaid.list()] };
  }

  said({ gaveUp }: Pick<BeatNote, 'gaveUp'>): void {
    for (const { from, to } of gaveUp) {
      this.unsaid.remove(from, to);
      this.settle(from, to);
    }
  }

  private settle(from: number, to: number): void {
    this.settled.add(from, to);
    const end = this.settled.endOf(this.confirmedUpTo + 1);
    if (end === undefined) return;
    this.confirmedUpTo = end;
    this.settled.remove(0, end);
  }
}
