import { clock } from '../core/clock.ts';
import { EncodingNewer } from '../core/errors.ts';
import type { Health } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { pause } from '../core/timing.ts';

/** How long a batch of a newer version is kept before it goes back to the queue: so many at once for long, others only briefly. */
const PAUSE_MS = 5_000;
const SHORT_PAUSE_MS = 200;
const MOST_HELD = 32;
/** So long after the last one it is said that the queue has such batches. */
const KNOWN_MS = 30_000;
const SAY_AGAIN_MS = 60_000;

/**
 * Batches that a newer version of Loam wrote. They go back to the queue, for a worker of that version: never to the dead letters. Other
 * messages go on meanwhile.
 */
export class NewerBatches {
  private readonly log: Logger;
  private readonly signal: AbortSignal;
  private saidAt = Number.NEGATIVE_INFINITY;
  private sawAt = Number.NEGATIVE_INFINITY;
  private held = 0;

  constructor(log: Logger, signal: AbortSignal) {
    this.log = log;
    this.signal = signal;
  }

  /** What `/readyz` says: undefined when none came lately. The worker does all other work. */
  health(): Health | undefined {
    if (clock.passed() - this.sawAt > KNOWN_MS) return undefined;
    const why = 'it has batches of a newer version of Loam, which wait for a newer worker';
    return { name: 'queue messages', ok: false, optional: true, why };
  }

  /**
   * Rejects with EncodingNewer after a pause. The pause keeps the batch from going round and round; it is short for most of them, so that
   * many do not take all places of a worker.
   */
  async giveBack(): Promise<never> {
    if (clock.passed() - this.saidAt > SAY_AGAIN_MS) {
      this.saidAt = clock.passed();
      const what = 'the queue has batches of a newer version of Loam: they wait for a newer worker';
      this.log.error({ event: 'newer_batch' }, what);
    }
    this.sawAt = clock.passed();
    this.held += 1;
    const isOneOfMany = this.held > MOST_HELD;
    await pause(isOneOfMany ? SHORT_PAUSE_MS : PAUSE_MS, this.signal);
    this.held -= 1;
    throw new EncodingNewer('the batch is of a newer version of Loam');
  }
}
