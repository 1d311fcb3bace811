export const SHORTEST_TICK_MS = 10;
export const LONGEST_TICK_MS = 150;

/** A tick is to last this many times its work, so that making frames takes at most a quarter of the time. */
const REST = 4;
/**
 * A tick is to last at least this many times the sending in its phases. With less, no time is left for other work; with
 * more, readings only wait longer.
 */
const PHASES_REST = 5 / 4;

/**
 * How long a tick lasts: 10 ms when there is little to do, up to 150 ms when making and sending frames takes its time.
 * A late event loop does not make the tick longer: the readings have waited long enough by then.
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

  /** Tells how many ms it took to send what was published at the end of the tick. */
  sent(ms: number): void {
    this.overrun = Math.max(0, ms - this.tick);
  }

  /** Tells how many ms it took to send what was published in one of the tick's phases. */
  sentInPhase(ms: number): void {
    this.inPhases += ms;
  }

  /** Ends the tick, and sets the length of the next one. */
  ended(): void {
    const wanted = Math.max(this.work * REST + this.overrun * 2, this.inPhases * PHASES_REST);
    // Half way to the wanted length each time, so that one slow tick does not slow the next ones.
    const next = (this.tick + wanted) / 2;
    this.tick = Math.min(LONGEST_TICK_MS, Math.max(this.shortest, next));
    this.work = 0;
    this.overrun = 0;
    this.inPhases = 0;
  }
}
