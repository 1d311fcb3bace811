/** A moment by both clocks of this machine, ms: by the one that people and networks set, and by the one that nobody sets. */
export interface SteadyMoment {
  readonly wall: number;
  readonly steady: number;
}

export function thisMoment(): SteadyMoment {
  return { wall: Date.now(), steady: performance.now() };
}

/**
 * How long ago `moment` was, ms, at least 0: by the clock that went further, because the steady one rests on some
 * machines while they sleep. So a clock that is set ahead looks like a sleep, and one that is set back like nothing.
 */
export function passedSince({ wall, steady }: SteadyMoment): number {
  return Math.max(Date.now() - wall, performance.now() - steady);
}
