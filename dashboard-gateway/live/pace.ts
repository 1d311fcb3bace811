export const SHORTEST_TICK_MS = 10;
export const LONGEST_TICK_MS = 150;

/** A tick is so many times longer than the work of one: at most a quarter of the time goes into making frames. */
const REST = 4;
/** And so many times longer than what is sent in its phases takes: with less nothing is left for the rest, with more readings only wait longer. */
const PHASES_REST = 5 / 4;

/**
 * How long a tick lasts: 10 ms when there is little to do, up to 150 ms when making and sending frames takes its time.
 * That the loop was late is no reason for a longer one: whatever held it up, readings have waited long enough.
 */
export class TickPace {
  private readonly shortest: number;
  private tick: number;
  private work = 0;
  private overrun = 0;
  private inPhases = 0;

  constructor(shortestMs = SHORTEST_TICK_MS) {
    this.shortest = shortestMs;
    this.tick = shortestMs;
  }

  /** ms from the end of one tick to the end of the next. */
  get tickMs(): number {
    return this.tick;
  }

  /** Counts work that belongs to the running tick. */
  worked(ms: number): void {
    this.work += ms;
  }

  /** To send what was published at the end of a tick took so long. */
  sent(ms: number): void {
    this.overrun = Math.max(0, ms - this.tick);
  }

  /** To send what was published in one of its phases took so long. */
  sentInPhase(ms: number): void {
    this.inPhases += ms;
  }

  /** A tick has ended. */
  ended(): void {
    const wanted = Math.max(this.work * REST + this.overrun * 2, this.inPhases * PHASES_REST);
    // Half way each time, so that one slow tick does not slow the next ones.
    const next = (this.tick + wanted) / 2;
    this.tick = Math.min(LONGEST_TICK_MS, Math.max(this.shortest, next));
    this.work = 0;
    this.overrun = 0;
    this.inPhases = 0;
  }
}
