import pLimit, { type LimitFunction } from 'p-limit';
import { retryLater } from './problem.ts';

/** Lets so many pieces of work run at once and so many wait; further ones are turned away with HttpProblem `busy`. */
export class WorkLimit {
  private readonly limit: LimitFunction;
  private readonly maxWaiting: number;

  constructor(maxRunning: number, maxWaiting: number) {
    this.limit = pLimit(maxRunning);
    this.maxWaiting = maxWaiting;
  }

  /** Resolves or rejects as `work` does, which begins when its turn has come. */
  async run<T>(work: () => Promise<T>): Promise<T> {
    const { activeCount, concurrency, pendingCount } = this.limit;
    if (activeCount >= concurrency && pendingCount >= this.maxWaiting) throw retryLater('busy', 1);
    return await this.limit(work);
  }
}
