export const SHORTEST_TICK_MS = 10;
export const LONGEST_TICK_MS = 150;

/** A tick is so many times longer than the work of one: at most a quarter of the time goes into making frames. */
const REST = 4;

/** How long a tick lasts: 10 ms when there is little to do, up to 150 ms when making and sending frames takes its time. */
export class Pace {
  private work = 0;
  private tick = SHORTEST_TICK_MS;

  /** ms until the next flush. */
  get tickMs(): number {
    return this.tick;
  }

  /** Counts work that belongs to the running tick. */
  worked(ms: number): void {
    this.work += ms;
  }

  /** A tick has ended, `lateMs` after it should have: a loop that is busy with sending is late. */
  ended(lateMs: number): void {
    const wanted = this.work * REST + Math.max(0, lateMs) * 2;
    // Half way each time, so that one slow tick does not slow the next ones.
    const next = (this.tick + wanted) / 2;
    this.tick = Math.min(LONGEST_TICK_MS, Math.max(SHORTEST_TICK_MS, next));
    this.work = 0;
  }
}
