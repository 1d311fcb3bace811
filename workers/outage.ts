import { setMaxListeners } from 'node:events';
import { explain, LoamError } from '../core/errors.ts';
import { backoff, pause } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';

/**
 * Does `work` until it succeeds, waiting out every error whose advice is `wait`. Other errors are thrown on.
 *
 * An outage is waited out here, with the work in hand, and never by giving it back to the queue: a queue counts redeliveries
 * and some delete what was delivered too often. It is said in one line when it begins and one when it ends.
 * Rejects with the last error when `signal` is aborted meanwhile.
 */
export class Patience {
  private readonly log: Logger;
  private readonly signal: AbortSignal;
  private readonly since = new Map<string, number>();

  constructor(log: Logger, signal: AbortSignal) {
    this.log = log;
    this.signal = signal;
    // Every batch in hand waits on it, three at a time; prefetch bounds them.
    setMaxListeners(0, signal);
  }

  async until(what: string, work: () => Promise<void>): Promise<void> {
    for (let attempt = 0; ; attempt++) {
      try {
        await work();
        return this.over(what);
      } catch (error) {
        if (!(error instanceof LoamError) || error.advice !== 'wait' || this.signal.aborted) throw error;
        this.begun(what, error);
        await pause(backoff(attempt, 100, 5_000), this.signal);
        if (this.signal.aborted) throw error;
      }
    }
  }

  private begun(what: string, error: LoamError): void {
    if (this.since.has(what)) return;
    this.since.set(what, Date.now());
    this.log.warn({ what, code: error.code }, `${what} is away, work is held: ${explain(error)}`);
  }

  private over(what: string): void {
    const since = this.since.get(what);
    if (since === undefined) return;
    this.since.delete(what);
    this.log.info({ what, seconds: Math.round((Date.now() - since) / 1000) }, `${what} is back`);
  }
}
