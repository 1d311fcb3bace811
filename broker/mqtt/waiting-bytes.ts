import type { MemoryBudget } from '../ingest/memory-budget.ts';
import { Pieces } from './wire.ts';

/** What one connection has received and not passed on yet, counted among what waits in the memory budget. */
export class WaitingBytes {
  private readonly pieces = new Pieces();
  private readonly budget: MemoryBudget;
  /** Whose they are; undefined until its client is let in. */
  private who: string | undefined;

  constructor(budget: MemoryBudget) {
    this.budget = budget;
  }

  get size(): number {
    return this.pieces.size;
  }

  /** From now on they are counted as those of this sensor or bridge. */
  belongTo(who: string): void {
    this.budget.removeWaiting(this.size, this.who);
    this.who = who;
    this.budget.addWaiting(this.size, this.size, who);
  }

  /** False when too many wait: the connection is to be closed. */
  add(piece: Buffer): boolean {
    this.pieces.add(piece);
    return this.budget.addWaiting(piece.length, this.size, this.who);
  }

  all(): Buffer {
    return this.pieces.all();
  }

  /** Drops the first `count` bytes. */
  drop(count: number): void {
    this.pieces.drop(count);
    this.budget.removeWaiting(count, this.who);
  }
}
