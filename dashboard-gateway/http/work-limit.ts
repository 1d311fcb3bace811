import pLimit, { type LimitFunction } from 'p-limit';
import { retryLater } from './problem.ts';

/** Runs some tasks at once and lets some wait. Further tasks are refused with HttpProblem `busy`. */
export class WorkLimit {
  private readonly limit: LimitFunction;
  private readonly maxWaiting: number;

  constructor(maxRunning: number, maxWaiting: number) {
    this.limit = pLimit(maxRunning);
    this.maxWaiting = maxWaiting;
  }

  /** Runs `work` when it is its turn, and resolves or rejects as it does. Rejects with HttpProblem `busy` at the limit. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const { activeCount, concurrency, pendingCount } = this.limit;
    if (activeCount >= concurrency && pendingCount >= this.maxWaiting) throw retryLater('busy', 1);
    return await this.limit(work);
  }
}
