/** How long a tick may become for a socket that reads slowly. */
const FIRST_TICK_MS = 500;
const LONGEST_TICK_MS = 4_000;
/** So many good ticks make the next one shorter; more for a socket that keeps falling back. */
const GOOD_TICKS = 4;
const MOST_GOOD_TICKS = 64;
/** How wide the rows of a slow socket may be: wider the longer it waited, so that what it gets does not grow with its waiting. */
const ROW_WIDTHS_MS = [1_000, 2_000, 5_000, 10_000, 30_000, 60_000];
/** With more than this waiting, a tick is put off. */
export const EMPTY_ENOUGH_BYTES = 16 * 1024;

/**
 * One slow socket's own pace. It gets nothing that is published; instead, when a tick of its own is over and what was sent before has gone,
 * it gets what came meanwhile, folded. So there is never more than one such answer waiting for it, whatever its speed.
 *
 * A tick that ends with bytes still waiting makes the next ones longer, good ones make them shorter, and after those of half a second it is fast again.
 */
export class Slowness {
  private tick = FIRST_TICK_MS;
  private told = 0;
  private good = 0;
  private readonly needed: number;
  private servedAt: number;
  private fewest = Number.POSITIVE_INFINITY;
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

  /** When bytes were last seen to leave, in ms of the clock that it is told. */
  get lastMoved(): number {
    return this.movedAt;
  }

  /** To be told now and then how many bytes wait. */
  observe(buffered: number, now: number): void {
    if (buffered < this.fewest) this.movedAt = now;
    this.fewest = buffered;
  }

  /** What it gets now is folded into rows of this width: its wait, rounded up. */
  rowMs(now: number): number {
    return ROW_WIDTHS_MS.find((width) => width >= now - this.servedAt) ?? 60_000;
  }

  isDue(buffered: number, now: number): boolean {
    return now >= this.servedAt + this.tick && buffered <= EMPTY_ENOUGH_BYTES;
  }

  /** It is being served now. Tells how fast it is from here on: `fast`, or `changed` when its tick has another length. */
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
