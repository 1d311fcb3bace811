/** How long a process may be silent, and how long a call may take, in ticks: a machine that sleeps counts none. */
const MOST_SILENT_TICKS = 12;
/** How long the process may say nothing at all, ms. Its thread waits for the disk at each write; a disk that fails may take half a minute. */
export const MOST_SILENT_MS = 60_000;
/** A write waits for the checkpoint before it, which on a slow disk takes minutes. */
const LONGEST_WRITE_MS = 15 * 60_000;
/** A question may have to read years, behind others. Who asked has often left by then, which ends it sooner. */
const LONGEST_READ_MS = 60 * 60_000;
/** A process that is new has to be loaded before it can say anything: it may take so many times as long. */
const TIMES_AT_START = 10;
/** At a stop it may be silent for so many ticks. */
const SILENT_TICKS_AT_STOP = 2;

/** How `isStuck` knows it in the reason for an end. */
const STUCK = 'it was stuck';

/** Whether a process was ended because it did not answer. */
export function isStuck(why: string): boolean {
  return why.includes(STUCK);
}

/** What is watched of a process. */
export interface Watchable {
  /** Settles when the process, whatever it is at, has read this. */
  ask(): Promise<unknown>;
  /** Calls that wait, each with the tick at which it was begun. */
  waiting(): Iterable<{ readonly begun: number; readonly isRead: boolean }>;
  /** It will not answer any more: to be ended. */
  stuck(why: string): void;
}

/**
 * Watches that a process answers: that it reads what it is sent, and that no call takes for ever. Time is counted in
 * ticks of this process's own, so that one that was stopped, with the other or alone, finds nothing late when it goes on.
 */
export class AnswerWatch {
  /** Ticks since the beginning. */
  now = 0;
  private readonly process: Watchable;
  private readonly tickMs: number;
  private readonly timer: NodeJS.Timeout;
  private silent = 0;
  private most = MOST_SILENT_TICKS * TIMES_AT_START;
  private isAsked = false;
  private isHurried = false;

  constructor(process: Watchable, mostSilentMs: number) {
    this.process = process;
    this.tickMs = mostSilentMs / MOST_SILENT_TICKS;
    this.timer = setInterval(() => this.tick(), this.tickMs).unref();
  }

  /** At a stop nobody waits long. */
  hurry(): void {
    this.most = SILENT_TICKS_AT_STOP;
    this.isHurried = true;
  }

  end(): void {
    clearInterval(this.timer);
  }

  private tick(): void {
    this.now += 1;
    const late = this.late();
    if (late !== undefined) {
      this.end();
      this.process.stuck(`${STUCK}: ${late}`);
      return;
    }
    if (this.isAsked) return;
    this.isAsked = true;
    const heard = () => {
      this.isAsked = false;
      this.silent = 0;
      if (!this.isHurried) this.most = MOST_SILENT_TICKS;
    };
    this.process.ask().then(heard, heard);
  }

  private late(): string | undefined {
    if (this.isAsked) this.silent += 1;
    if (this.silent >= this.most) return `it said nothing for ${this.inSeconds(this.silent)} s`;
    for (const { begun, isRead } of this.process.waiting()) {
      const most = isRead ? LONGEST_READ_MS : LONGEST_WRITE_MS;
      if ((this.now - begun) * this.tickMs > most) return `a call took more than ${most / 60_000} minutes`;
    }
    return undefined;
  }

  private inSeconds(ticks: number): number {
    return Math.round((ticks * this.tickMs) / 1_000);
  }
}
