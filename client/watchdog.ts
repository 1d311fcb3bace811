import { passedSince, type SteadyMoment, thisMoment } from './moment.ts';

/** Timers of a page in the background may run only once a minute: a longer pause means that the machine slept. */
const SLEPT_MS = 90_000;

export interface WatchdogOptions {
  /** After `silentMs` of silence the connection is probed; without an answer within `answerMs` it is dead. */
  readonly silentMs: number;
  readonly answerMs: number;
  readonly probe: () => void;
  readonly dead: () => void;
  /** A clock jumped: the machine slept, or somebody set the clock ahead. */
  readonly woke: () => void;
}

/**
 * Notices what a socket does not report: that the server cannot be reached though nobody closed the connection (a
 * pulled cable, a phone that changed networks), and that the machine slept. Between `begin` and `end` it checks four
 * times within the shorter of `silentMs` and `answerMs`.
 */
export class LineWatchdog {
  readonly #options: WatchdogOptions;
  #timer: ReturnType<typeof setInterval> | undefined;
  #heardAt = thisMoment();
  #probedAt: SteadyMoment | undefined;
  #lookedAt = thisMoment();

  constructor(options: WatchdogOptions) {
    this.#options = options;
  }

  /** Whether the connection has been silent for longer than `silentMs`. */
  get silent(): boolean {
    return passedSince(this.#heardAt) > this.#options.silentMs;
  }

  begin(): void {
    this.end();
    this.#heardAt = thisMoment();
    this.#lookedAt = this.#heardAt;
    this.#timer = setInterval(() => this.#look(), Math.min(this.#options.silentMs, this.#options.answerMs) / 4);
  }

  heard(): void {
    this.#heardAt = thisMoment();
    this.#probedAt = undefined;
  }

  end(): void {
    clearInterval(this.#timer);
    this.#probedAt = undefined;
  }

  #look(): void {
    const { answerMs, probe, dead, woke } = this.#options;
    const slept = passedSince(this.#lookedAt) > SLEPT_MS;
    this.#lookedAt = thisMoment();
    if (slept) woke();
    else if (this.#probedAt !== undefined && passedSince(this.#probedAt) > answerMs) dead();
    else if (this.#probedAt === undefined && this.silent) {
      this.#probedAt = thisMoment();
      probe();
    }
  }
}
