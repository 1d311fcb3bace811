import type { Identity } from './identity.ts';

const MINUTE_MS = 60_000;

/** Counts each sensor's refused publishes of the current minute. One that goes on and on is closed, and again when it comes back. */
export class Offenders {
  private readonly most: number;
  private thisMinute = new Map<string, number>();
  private minute = 0;

  constructor(mostAMinute: number) {
    this.most = mostAMinute;
  }

  /** Counts one more; true when it was one too many. */
  isOffence({ farm, sensor }: Pick<Identity, 'farm' | 'sensor'>): boolean {
    const key = `${farm}/${sensor}`;
    const minute = Math.floor(performance.now() / MINUTE_MS);
    if (minute !== this.minute) this.thisMinute = new Map();
    this.minute = minute;
    const count = (this.thisMinute.get(key) ?? 0) + 1;
    this.thisMinute.set(key, count);
    return count > this.most;
  }
}
