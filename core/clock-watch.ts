/** A wall clock that gains or loses more than this between two looks was set, ms. */
const TOLERANCE_MS = 10_000;
/** For this long after a clock was set it is not trusted, ms: it may be set again. */
const SETTLED_MS = 3_600_000;

export interface Clocks {
  /** Unix ms. */
  readonly wall: () => number;
  /** ms of a clock that cannot be set. */
  readonly monotonic: () => number;
}

const CLOCKS: Clocks = { wall: () => Date.now(), monotonic: () => performance.now() };

/**
 * Notices when the machine's clock is set, by its distance from the monotonic one. Call `look` every few minutes at
 * least.
 */
export class ClockWatch {
  private readonly clocks: Clocks;
  private distance: number;
  private setAt: number | undefined;

  constructor(clocks = CLOCKS) {
    this.clocks = clocks;
    this.distance = clocks.wall() - clocks.monotonic();
  }

  /** `set`: the wall clock was set since the last look; `unsettled`: within the last hour; `settled`: neither. */
  look(): 'settled' | 'set' | 'unsettled' {
    const monotonic = this.clocks.monotonic();
    const distance = this.clocks.wall() - monotonic;
    const isSet = Math.abs(distance - this.distance) > TOLERANCE_MS;
    this.distance = distance;
    if (isSet) this.setAt = monotonic;
    if (isSet) return 'set';
    return this.setAt === undefined || monotonic - this.setAt >= SETTLED_MS ? 'settled' : 'unsettled';
  }
}
