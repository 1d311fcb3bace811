import type { Health } from '../core/lifecycle.ts';

export interface WatchdogParts {
  /** How many messages the worker holds. */
  readonly holds: () => number;
  /** Whether the worker waits for a port that is known to be away. */
  readonly waits: () => boolean;
  /** How many messages wait in the queue; rejects when that cannot be known. */
  readonly pending: () => Promise<number>;
  /** What it is called in `/readyz`. */
  readonly name: string;
  /** Called once each time the worker has stood still for too long, with what was seen. */
  readonly stalled: (why: string) => void;
}

/** Beats without progress after which a worker is taken to have stopped; a beat is usually one second. */
const STALL_BEATS = 30;

/**
 * Watches for a silent stop: a worker has work, or work waits for it, and it makes no progress although no port is
 * known to be away.
 *
 * The watchdog counts beats of its own timer, not the clock's time: a suspended process had no chance to make progress.
 */
export class Watchdog {
  private readonly parts: WatchdogParts;
  private readonly beatMs: number;
  private timer: NodeJS.Timeout | undefined;
  private beatsWithoutProgress = 0;
  private why: string | undefined;
  private asking = false;
  private sawPending = false;

  constructor(parts: WatchdogParts, beatMs = 1_000) {
    this.parts = parts;
    this.beatMs = beatMs;
  }

  start(): void {
    this.timer = setInterval(() => this.beat(), this.beatMs).unref();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** Something was received, written, appended or acknowledged. */
  progressed(): void {
    this.beatsWithoutProgress = 0;
    this.sawPending = false;
    this.why = undefined;
  }

  health(): Health {
    const { name } = this.parts;
    return this.why === undefined ? { name, ok: true } : { name, ok: false, why: this.why };
  }

  private beat(): void {
    if (this.parts.waits()) {
      this.beatsWithoutProgress = 0;
      this.sawPending = false;
      return;
    }
    this.beatsWithoutProgress += 1;
    const held = this.parts.holds();
    if (held > 0) {
      if (this.beatsWithoutProgress >= STALL_BEATS)
        this.reportStall(`${held} messages are held and none got on for ${STALL_BEATS} s`);
    } else if (this.beatsWithoutProgress % (STALL_BEATS / 2) === 0 && !this.asking) {
      void this.ask();
    }
  }

  /** Asks the queue when the worker holds nothing. Messages that wait in it at two checks in a row mean a stop. */
  private async ask(): Promise<void> {
    this.asking = true;
    try {
      const before = this.beatsWithoutProgress;
      const pending = await this.parts.pending();
      // There was progress while the queue was asked.
      if (this.beatsWithoutProgress < before) return;
      if (pending > 0 && this.sawPending)
        this.reportStall(`${pending} messages wait and none comes for ${STALL_BEATS} s`);
      else this.sawPending = pending > 0;
    } catch {
      // No stop: when the queue is away, its own state says so.
      this.sawPending = false;
    } finally {
      this.asking = false;
    }
  }

  private reportStall(why: string): void {
    this.beatsWithoutProgress = 0;
    this.sawPending = false;
    this.why = why;
    this.parts.stalled(why);
  }
}
