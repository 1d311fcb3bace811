import type { Identity } from './identity.ts';
import { MinuteCount } from './minute-count.ts';

/** Counts each sensor's refused publishes of the current minute. One that goes on and on is closed, and again when it comes back. */
export class Offenders {
  private readonly most: number;
  private readonly counts = new MinuteCount();

  constructor(mostAMinute: number) {
    this.most = mostAMinute;
  }

  /** Counts one more; true when it was one too many. */
  isOffence(who: Pick<Identity, 'farm' | 'sensor'>): boolean {
    return this.counts.add(who) > this.most;
  }
}
