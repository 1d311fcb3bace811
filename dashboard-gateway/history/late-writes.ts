import type { Changed } from '../../telemetry/batch.ts';

interface WrittenSpan {
  from: number;
  to: number;
}

/** With more sensors than this a generation is full. Every range then counts as written to. */
const MAX_SENSORS = 20_000;

/** The writes of one period of time, as one span for each farm and sensor. */
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

  overlaps(farm: string, sensors: Iterable<string>, range: Readonly<WrittenSpan>): boolean {
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
 * Remembers which ranges of time were written to lately, by sensor. An announced write may reach the store some time
 * later, so an answer of the store about such a range may be out of date. A range is remembered for one to two
 * `keepMs`.
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

  /** Whether one of the sensors was lately written to in this range. Also true when there were too many sensors to tell. */
  overlaps(farm: string, sensors: ReadonlySet<string>, range: Readonly<WrittenSpan>, now: number): boolean {
    this.turn(now);
    return this.young.overlaps(farm, sensors, range) || this.old.overlaps(farm, sensors, range);
  }

  private turn(now: number): void {
    const age = now - this.turned;
    if (age < this.keepMs) return;
    this.old = age < 2 * this.keepMs ? this.young : new Generation();
    this.young = new Generation();
    this.turned = now;
  }
}
