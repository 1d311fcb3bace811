import type { Clock } from '../../core/clock.ts';

/** A clock that a test sets. */
export class SetClock implements Clock {
  private wall: number;
  private ms = 1_000;
  readonly now = () => this.wall;
  readonly passed = () => this.ms;
  readonly sinceBoot = () => this.ms;

  constructor(wall = Date.UTC(2026, 5, 1)) {
    this.wall = wall;
  }

  /** Time passes, ms. */
  pass(ms: number): void {
    this.wall += ms;
    this.ms += ms;
  }

  /** Somebody sets the wall clock by so much, ms. */
  step(ms: number): void {
    this.wall += ms;
  }
}
