import type { BatchPlace } from './batch-place.ts';
import type { BatchRun } from './batch-run.ts';

/** A batch that has its number, and keeps it however often it is tried. One of `confirmed` and `gaveUp` is called in the end. */
export class NumberedBatch {
  private readonly run: BatchRun;
  private readonly number: number;

  constructor(run: BatchRun) {
    this.run = run;
    this.number = run.next();
  }

  /** Whether it is of this run. */
  isOf(run: BatchRun): boolean {
    return run === this.run;
  }

  /** Its place, for the attempt that is made now. */
  place(): BatchPlace {
    return this.run.place(this.number);
  }

  /** The queue has confirmed it. */
  confirmed(): void {
    this.run.confirmed(this.number);
  }

  /** It is not tried any more. The queue has refused it, or whether it was kept is unknown. */
  gaveUp(): void {
    this.run.gaveUp(this.number);
  }
}
