import { clock } from '../../core/clock.ts';
import { explain, LoamError } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';

/** The queue counts as back after so long without a refusal: a queue at its limit takes and refuses by turns. */
const CALM_MS = 1_000;

/** Says in the log once that the queue takes nothing, and once that it takes publishes again. */
export class QueueAbsence {
  private readonly log: Logger;
  /** Monotonic ms. */
  private since: number | undefined;
  private calm: NodeJS.Timeout | undefined;

  constructor(log: Logger) {
    this.log = log;
  }

  refused(error: unknown): void {
    clearTimeout(this.calm);
    this.calm = undefined;
    if (this.since !== undefined) return;
    this.since = clock.passed();
    const code = error instanceof LoamError ? error.code : undefined;
    this.log.warn({ event: 'queue_away', code }, `the queue takes nothing, publishers are held: ${explain(error)}`);
  }

  taken(): void {
    if (this.since !== undefined) this.calm ??= setTimeout(() => this.sayBack(), CALM_MS);
  }

  close(): void {
    clearTimeout(this.calm);
  }

  private sayBack(): void {
    this.calm = undefined;
    const awayMs = Math.round(clock.passed() - (this.since ?? clock.passed()));
    this.since = undefined;
    this.log.info({ event: 'queue_back', awayMs }, 'the queue takes publishes again');
  }
}
