import { clock } from '../../core/clock.ts';
import { TickPace } from './pace.ts';

/** How many phases a long tick has. */
export const PHASES = 12;
/** A shorter tick is not divided: its frames are few enough to go out in one go. */
const LONG_TICK_MS = 50;

/** What is due: the end of a tick (`undivided`: of one without phases), or one phase of a long tick. */
export type Due = { readonly end: true; readonly undivided: boolean } | { readonly end: false; readonly phase: number };

/**
 * Calls `due` at the end of a tick, while there is something to publish. A long tick has phases, which are due one
 * after another. So frames for thousands of sockets are spread over the tick, and none waits behind all others.
 */
export class TickClock {
  private readonly due: (due: Due) => void;
  private readonly pace: TickPace;
  private timer: NodeJS.Timeout | undefined;
  private phase = 0;
  private last = 0;
  private closed = false;

  constructor(due: (due: Due) => void, shortestTickMs?: number) {
    this.due = due;
    this.pace = new TickPace(shortestTickMs);
  }

  get tickMs(): number {
    return this.pace.tickMs;
  }

  /** Counts work that belongs to the running tick. */
  worked(ms: number): void {
    this.pace.worked(ms);
  }

  /** Asks for the next tick or phase, because there is something to publish. */
  soon(): void {
    if (this.timer || this.closed) return;
    // After a pause, new readings are published at once. In a steady flow they wait for the end of the tick or phase.
    const now = clock.passed();
    const at = Math.max(now, this.last + (this.isLong ? this.tickMs / PHASES : this.tickMs));
    this.timer = setTimeout(() => this.ring(), at - now);
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private get isLong(): boolean {
    return this.tickMs >= LONG_TICK_MS;
  }

  private ring(): void {
    const begun = clock.passed();
    const { isLong } = this;
    this.timer = undefined;
    this.last = begun;
    this.phase = isLong ? (this.phase + 1) % PHASES : 0;
    this.due(this.phase === 0 ? { end: true, undivided: !isLong } : { end: false, phase: this.phase });
    const done = clock.passed();
    this.pace.worked(done - begun);
    if (this.phase === 0) this.pace.ended();
    // uWebSockets.js sends what was published before the event loop has gone round once, so this measures the sending.
    const { phase, pace } = this;
    const sent = () => {
      if (phase === 0) pace.sent(clock.passed() - done);
      else pace.sentInPhase(clock.passed() - done);
    };
    setImmediate(() => setImmediate(sent));
  }
}
