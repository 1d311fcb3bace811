import type { Health } from '../core/lifecycle.ts';

export interface WatchdogParts {
  /** How many messages the worker holds. */
  readonly holds: () => number;
  /** Whether it waits for something that is known to be away. */
  readonly waits: () => boolean;
  /** How many messages wait in the queue; rejects when nobody knows. */
  readonly pending: () => Promise<number>;
  /** Told once each time the worker has stood still for too long, with what was seen. */
  readonly stalled: (why: string) => void;
}

/** Seconds without progress after which a worker is taken to have stopped. */
const PATIENCE_S = 30;

/**
 * Watches for the silent stop: a worker that holds work, or has work waiting for it, and gets nowhere although nothing is known to be away.
 *
 * It counts beats of its own timer, not the clock's time: a process that was suspended had no chance to get anywhere.
 */
export class Watchdog {
  private readonly parts: WatchdogParts;
  private readonly beatMs: number;
  private timer: NodeJS.Timeout | undefined;
  private still = 0;
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
    this.still = 0;
    this.sawPending = false;
    this.why = undefined;
  }

  health(): Health {
    return this.why === undefined ? { name: 'worker', ok: true } : { name: 'worker', ok: false, why: this.why };
  }

  private beat(): void {
    if (this.parts.waits()) {
      this.still = 0;
      this.sawPending = false;
      return;
    }
    this.still += 1;
    const held = this.parts.holds();
    if (held > 0) {
      if (this.still >= PATIENCE_S) this.bark(`${held} messages are held and none got on for ${PATIENCE_S} s`);
    } else if (this.still % (PATIENCE_S / 2) === 0 && !this.asking) {
      void this.ask();
    }
  }

  /** Holding nothing is right as long as nothing waits: twice in a row something did. */
  private async ask(): Promise<void> {
    this.asking = true;
    try {
      const before = this.still;
      const pending = await this.parts.pending();
      // Something came meanwhile.
      if (this.still < before) return;
      if (pending > 0 && this.sawPending) this.bark(`${pending} messages wait and none comes for ${PATIENCE_S} s`);
      else this.sawPending = pending > 0;
    } catch {
      // The queue's own state says that it is away.
      this.sawPending = false;
    } finally {
      this.asking = false;
    }
  }

  private bark(why: string): void {
    this.still = 0;
    this.sawPending = false;
    this.why = why;
    this.parts.stalled(why);
  }
}
