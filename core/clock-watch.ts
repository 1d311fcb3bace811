import { type Clock, clock as machine } from './clock.ts';

/** A wall clock that gains or loses more than this between two looks was set, ms. */
export const STEP_MS = 10_000;
/** For this long after a clock was set it is not trusted, ms: it may be set again. */
const SETTLED_MS = 3_600_000;
/** Most steps that are remembered. At the limit the oldest is forgotten. */
const MOST_STEPS = 1_000;

/** The wall clock was set. */
export interface ClockStep {
  /** When it was noticed, ms since the machine was started. */
  readonly sinceBoot: number;
  /** What the wall clock said then, Unix ms. */
  readonly at: number;
  /** How far it was set, ms: ahead when it is positive. */
  readonly byMs: number;
}

/**
 * Notices when the machine's wall clock is set, by its distance from the clock that counts from the machine's start, and keeps the steps. Call
 * `look` every few minutes at least. A machine that slept has not set its clock.
 */
export class ClockWatch {
  private readonly clock: Clock;
  private readonly kept: ClockStep[] = [];
  private distance: number;

  constructor(clock = machine) {
    this.clock = clock;
    this.distance = distanceOf(clock);
  }

  /** The steps of this run, the oldest first. */
  get steps(): readonly ClockStep[] {
    return this.kept;
  }

  /** `set`: the wall clock was set since the last look; `unsettled`: within the last hour; `settled`: neither. */
  look(): 'settled' | 'set' | 'unsettled' {
    const sinceBoot = this.clock.sinceBoot();
    const at = this.clock.now();
    const byMs = at - sinceBoot - this.distance;
    const isSet = Math.abs(byMs) > STEP_MS;
    // What time servers correct by little and little is no step, however much it comes to.
    this.distance = at - sinceBoot;
    if (isSet) {
      this.kept.push({ sinceBoot, at, byMs });
      if (this.kept.length > MOST_STEPS) this.kept.shift();
      return 'set';
    }
    const last = this.kept.at(-1);
    return last === undefined || sinceBoot - last.sinceBoot >= SETTLED_MS ? 'settled' : 'unsettled';
  }
}

/** How far the wall clock is from the clock that counts from the machine's start, ms. It changes only when the wall clock is corrected. */
export function distanceOf(clock: Clock): number {
  return clock.now() - clock.sinceBoot();
}
