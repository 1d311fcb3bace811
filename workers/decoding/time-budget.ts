import { LRUCache } from 'lru-cache';
import { clock } from '../../core/clock.ts';

/** How many limits a sensor, or a farm, may use at once; and the part of a thread's time that it gets back. */
const OF_SENSOR = { limits: 10, share: 0.02 };
const OF_FARM = { limits: 60, share: 0.1 };
/** Sensors and farms that used more than the free time. At the limit, the one that was silent longest is forgiven. */
const MOST_KNOWN = 50_000;

interface Owner {
  readonly farm: string;
  readonly sensor: string;
}

/**
 * Time for decoding, by sensor and by farm. Each has a debt, which time pays off. While it is above its limit, nothing more is
 * decoded for it.
 */
export class TimeBudget {
  private readonly sensors: Debts;
  private readonly farms: Debts;

  /** `limitMs` is the time limit for one publish. `now` is a clock in ms that never goes back. */
  constructor(limitMs: number, now: () => number = clock.passed) {
    this.sensors = new Debts(limitMs * OF_SENSOR.limits, OF_SENSOR.share, now);
    this.farms = new Debts(limitMs * OF_FARM.limits, OF_FARM.share, now);
  }

  /** Says that a publish of the sensor took `ms`; no more than 0 is nothing. */
  spend({ farm, sensor }: Owner, ms: number): void {
    if (ms <= 0) return;
    this.sensors.add(`${farm}/${sensor}`, ms);
    this.farms.add(farm, ms);
  }

  isSpent({ farm, sensor }: Owner): boolean {
    return this.sensors.isAbove(`${farm}/${sensor}`) || this.farms.isAbove(farm);
  }
}

class Debts {
  private readonly most: number;
  private readonly share: number;
  private readonly now: () => number;
  private readonly debts = new LRUCache<string, { readonly ms: number; readonly at: number }>({ max: MOST_KNOWN });

  constructor(most: number, share: number, now: () => number) {
    this.most = most;
    this.share = share;
    this.now = now;
  }

  add(key: string, ms: number): void {
    this.debts.set(key, { ms: this.of(key) + ms, at: this.now() });
  }

  isAbove(key: string): boolean {
    return this.of(key) > this.most;
  }

  private of(key: string): number {
    const debt = this.debts.get(key);
    return debt === undefined ? 0 : Math.max(0, debt.ms - (this.now() - debt.at) * this.share);
  }
}
