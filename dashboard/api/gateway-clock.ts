/** A frame that took longer on its way is of a moment ago, ms. */
const LONGEST_WAY_MS = 5_000;
/** So long after a frame no answer's time counts, ms: a proxy may have put its own there. */
const FRAME_RULES_MS = 60_000;
/** An answer's time has whole seconds, and its server may look at the clock once a second only, ms. */
const COARSE_MS = 2_000;

/**
 * What time it is by the gateway's clock. The viewer's own is only where it begins: it may be wrong, and may be corrected
 * at any moment. Between what the gateway tells, the time goes on by a clock that nobody sets.
 */
export class GatewayClock {
  readonly #steady: () => number;
  #offset: number;
  #frameAt = Number.NEGATIVE_INFINITY;

  /** `steady`: ms since any moment, never set. `begin`: Unix ms by the viewer's clock. */
  constructor(steady: () => number, begin: number) {
    this.#steady = steady;
    this.#offset = begin - steady();
  }

  /** Unix ms. */
  now(): number {
    return this.#steady() + this.#offset;
  }

  /** For durations: ms since some moment. */
  passed(): number {
    return this.#steady();
  }

  /** An answer said `date` (Unix ms, whole seconds) to a question that was sent at `asked`, by `passed`. */
  answered(date: number, asked: number): void {
    const heard = this.#steady();
    if (heard - this.#frameAt < FRAME_RULES_MS) return;
    this.#keepWithin(date - heard, date + COARSE_MS - asked);
  }

  /** A frame said that it was `now`, Unix ms. */
  framed(now: number): void {
    this.#frameAt = this.#steady();
    const offset = now - this.#frameAt;
    this.#keepWithin(offset, offset + LONGEST_WAY_MS);
  }

  /** What was believed stays as far as it may be true: the way takes another time each time. */
  #keepWithin(least: number, most: number): void {
    this.#offset = Math.min(Math.max(this.#offset, least), Math.max(least, most));
  }
}

/** The page's clock. Nothing else in the dashboard asks for the time. */
export const gatewayClock = new GatewayClock(() => performance.now(), Date.now());

/** Now (Unix ms) by the gateway's clock. */
export function gatewayNow(): number {
  return gatewayClock.now();
}
