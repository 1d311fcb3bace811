import type { LiveEntry } from '../../telemetry/batch.ts';
import { msOf } from '../../telemetry/instant.ts';
import type { WritesListener } from '../live/feed/feed.ts';

const SECONDS = 60;

/** What this gateway heard on the live log within the last minute. */
export class Heard implements WritesListener {
  private readonly now: () => number;
  private readonly passed: () => number;
  /** Readings and the longest lag, ms, by second. */
  private readonly seconds = Array.from({ length: SECONDS }, () => ({ second: 0, readings: 0, lagMs: 0 }));
  private readonly since: number;

  /** `now`: Unix ms; `passed`: ms by a monotonic clock. */
  constructor(now: () => number, passed: () => number) {
    this.now = now;
    this.passed = passed;
    this.since = passed();
  }

  begin(): void {}

  wrote({ readings }: LiveEntry): void {
    const now = this.now();
    const slot = this.slot(Math.floor(this.passed() / 1000));
    slot.readings += readings.length;
    for (const { received } of readings) slot.lagMs = Math.max(slot.lagMs, now - msOf(received));
  }

  /**
   * Readings a second, and the longest time from a reading's receipt at the broker to this gateway, ms; undefined when
   * there was no reading.
   */
  lastMinute(): { perSecond: number; lagMs: number | undefined } {
    const now = this.passed();
    const oldest = Math.floor(now / 1000) - SECONDS;
    const heard = this.seconds.filter(({ second, readings }) => second > oldest && readings > 0);
    const span = Math.min(SECONDS, Math.max(1, (now - this.since) / 1000));
    const readings = heard.reduce((sum, slot) => sum + slot.readings, 0);
    return {
      perSecond: readings / span,
      lagMs: readings > 0 ? Math.max(...heard.map(({ lagMs }) => lagMs)) : undefined,
    };
  }

  private slot(second: number) {
    const at = second % SECONDS;
    let slot = this.seconds[at];
    if (slot === undefined || slot.second !== second) {
      slot = { second, readings: 0, lagMs: 0 };
      this.seconds[at] = slot;
    }
    return slot;
  }
}
