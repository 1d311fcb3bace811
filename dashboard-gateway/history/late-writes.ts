import type { Changed } from '../../telemetry/batch.ts';

interface WrittenSpan {
  from: number;
  to: number;
}

/** Past this many sensors a generation no longer tells them apart. */
const MAX_SENSORS = 20_000;

/** What was written within one length of time: a span by farm and sensor. */
class Generation {
  private readonly farms = new Map<string, Map<string, WrittenSpan>>();
  private sensors = 0;
  private isFull = false;

  add({ farm, sensor, from, to }: Changed): void {
    let ofFarm = this.farms.get(farm);
    if (ofFarm === undefined) {
      ofFarm = new Map();
      this.farms.set(farm, ofFarm);
    }
    const known = ofFarm.get(sensor);
    if (known !== undefined) {
      known.from = Math.min(known.from, from);
      known.to = Math.max(known.to, to);
    } else if (this.sensors < MAX_SENSORS) {
      ofFarm.set(sensor, { from, to });
      this.sensors++;
    } else this.isFull = true;
  }

  touch(farm: string, sensors: Iterable<string>, range: Readonly<WrittenSpan>): boolean {
    if (this.isFull) return true;
    const ofFarm = this.farms.get(farm);
    if (ofFarm === undefined) return false;
    for (const sensor of sensors) {
      const span = ofFarm.get(sensor);
      if (span !== undefined && span.from < range.to && span.to > range.from) return true;
    }
    return false;
  }
}

/**
 * The ranges of time, by sensor, that were written to lately. What is announced may reach the store some time afterwards:
 * an answer of the store about such a range may already be old. A range is remembered for one to two `keepMs`.
 */
export class LateWrites {
  private readonly keepMs: number;
  private young = new Generation();
  private old = new Generation();
  private turned = 0;

  constructor(keepMs: number) {
    this.keepMs = keepMs;
  }

  add(change: Changed, now: number): void {
    this.turn(now);
    this.young.add(change);
  }

  /** Whether something was lately written to the range of one of the sensors, as far as it can be known. */
  touch(farm: string, sensors: ReadonlySet<string>, range: Readonly<WrittenSpan>, now: number): boolean {
    this.turn(now);
    return this.young.touch(farm, sensors, range) || this.old.touch(farm, sensors, range);
  }

  private turn(now: number): void {
    const age = now - this.turned;
    if (age < this.keepMs) return;
    this.old = age < 2 * this.keepMs ? this.young : new Generation();
    this.young = new Generation();
    this.turned = now;
  }
}
