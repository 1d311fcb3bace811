import { clock } from '../../core/clock.ts';

const MINUTE_MS = 60_000;

/** Counts something for each sensor within the current minute. Holds one number for each sensor counted in that minute. */
export class MinuteCount {
  private counts = new Map<string, number>();
  private minute = 0;

  /** Counts one more of a sensor; returns how many that makes in this minute. */
  add({ farm, sensor }: { readonly farm: string; readonly sensor: string }): number {
    const minute = Math.floor(clock.passed() / MINUTE_MS);
    if (minute !== this.minute) this.counts = new Map();
    this.minute = minute;
    const key = `${farm}/${sensor}`;
    const count = (this.counts.get(key) ?? 0) + 1;
    this.counts.set(key, count);
    return count;
  }
}
