import type { Identity } from './identity.ts';
import { MinuteCount } from './minute-count.ts';

/** Counts each sensor's refused publishes of a minute. A sensor above the limit is disconnected each time it adds one. */
export class Offenders {
  private readonly most: number;
  private readonly counts = new MinuteCount();

  constructor(mostAMinute: number) {
    this.most = mostAMinute;
  }

  /** Counts one more refused publish; true when the sensor is above the limit. */
  isOffence(who: Pick<Identity, 'farm' | 'sensor'>): boolean {
    return this.counts.add(who) > this.most;
  }
}
