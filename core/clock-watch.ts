/** A wall clock that gains or loses more than this between two looks was set. */
const TOLERANCE_MS = 10_000;
/** So long after a clock was set it is not believed: who set it may set it again. */
const SETTLED_MS = 3_600_000;

export interface Clocks {
  /** Unix ms. */
  readonly wall: () => number;
  /** ms by a clock that nobody sets. */
  readonly monotonic: () => number;
}

const CLOCKS: Clocks = { wall: () => Date.now(), monotonic: () => performance.now() };

/** Notices when the machine's clock is set, by how far it is from the monotonic one. To be asked again and again, at least every few minutes. */
export class ClockWatch {
  private readonly clocks: Clocks;
  private distance: number;
  private setAt: number | undefined;

  constructor(clocks = CLOCKS) {
    this.clocks = clocks;
    this.distance = clocks.wall() - clocks.monotonic();
  }

  /** `set`: since the last look; `unsettled`: within the last hour; `settled`: otherwise the wall clock went as it should. */
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
