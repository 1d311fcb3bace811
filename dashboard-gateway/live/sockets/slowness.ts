/** The first and the longest tick of a socket that reads slowly. */
const FIRST_TICK_MS = 500;
const LONGEST_TICK_MS = 4_000;
/** After this many good ticks the next one is shorter; it takes more for a socket that became slow several times. */
const GOOD_TICKS = 4;
const MOST_GOOD_TICKS = 64;
/**
 * How wide the rows of a slow socket may be. The longer it waited, the wider they are, so that its answer does not grow
 * with the wait.
 */
const ROW_WIDTHS_MS = [1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
/** With more bytes than this waiting, a tick is delayed. */
export const EMPTY_ENOUGH_BYTES = 16 * 1024;

/**
 * The pace of one slow socket. The socket gets nothing that is published. Instead, when a tick of its own is over and
 * what was sent before is nearly gone, it gets what came meanwhile, folded. So never more than one such answer waits
 * for it, whatever its speed.
 *
 * A tick that ends with bytes still waiting makes the next ones longer, and good ticks make them shorter. After good
 * ticks of half a second, the socket is fast again.
 */
export class Slowness {
  private tick = FIRST_TICK_MS;
  private told = 0;
  private good = 0;
  private readonly needed: number;
  private servedAt: number;
  private lastBuffered = Number.POSITIVE_INFINITY;
  private movedAt: number;

  constructor(relapses: number, now: number) {
    this.needed = Math.min(MOST_GOOD_TICKS, GOOD_TICKS * 2 ** Math.min(relapses, 10));
    this.servedAt = now;
    this.movedAt = now;
  }

  /** ms between two answers. */
  get tickMs(): number {
    return this.tick;
  }

  /** When bytes were last seen to leave, ms by the clock of `now`. */
  get lastMoved(): number {
    return this.movedAt;
  }

  /** To be called regularly with the number of bytes that wait. */
  observe(buffered: number, now: number): void {
    if (buffered < this.lastBuffered) this.movedAt = now;
    this.lastBuffered = buffered;
  }

  /** The row width of the next answer, ms: the time since the last one, rounded up to one of ROW_WIDTHS_MS. */
  rowMs(now: number): number {
    return ROW_WIDTHS_MS.find((width) => width >= now - this.servedAt) ?? 60_000;
  }

  isDue(buffered: number, now: number): boolean {
    return now >= this.servedAt + this.tick && buffered <= EMPTY_ENOUGH_BYTES;
  }

  /**
   * To be called when the socket is served. Returns `fast` when it is slow no longer, or `changed` when its tick has
   * another length.
   */
  served(now: number): 'fast' | 'changed' | 'same' {
    if (now - this.servedAt > 2 * this.tick) {
      this.good = 0;
      this.tick = Math.min(LONGEST_TICK_MS, this.tick * 2);
    } else if (++this.good >= this.needed) {
      this.good = 0;
      this.tick /= 2;
    }
    this.servedAt = now;
    if (this.tick < FIRST_TICK_MS) return 'fast';
    if (this.tick === this.told) return 'same';
    this.told = this.tick;
    return 'changed';
  }
}
