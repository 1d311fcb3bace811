import { uptime } from 'node:os';

/** What a process knows of time. Everything that asks for it takes it from here, or is given a clock of its own by a test. */
export interface Clock {
  /**
   * The wall clock, Unix ms. Anybody may set it, by decades, both ways: a time of it is what a reading or a letter is dated by,
   * and never how long something took, or how old the only copy of something is.
   */
  readonly now: () => number;
  /** ms of a clock that nobody can set and that begins anywhere: for everything that is as long as it takes. */
  readonly passed: () => number;
  /** ms since the machine was started, also those that it slept. It goes on over a restart of the process. */
  readonly sinceBoot: () => number;
}

/** The clock of this machine. */
export const clock: Clock = {
  now: () => Date.now(),
  passed: () => performance.now(),
  sinceBoot: () => uptime() * 1_000,
};

/**
 * The wall clock as it is now, counted on by the time that passes however it is set: for what ends some time after it began, in one process. Both are
 * of one clock then, right or wrong.
 */
export function steadyFrom({ now, passed }: Pick<Clock, 'now' | 'passed'>): () => number {
  const begun = now() - passed();
  return () => begun + passed();
}

/** What the wall clock says at a time of `clock.passed`, Unix ms, had nobody set it since this process was started. */
export function wallAt(passed: number): number {
  return performance.timeOrigin + passed;
}
