import { retryDelay } from '../../client/backoff.ts';
import { type ApiProblem, asProblem } from '../api/problem.ts';

export interface RetryOptions {
  readonly signal: AbortSignal;
  /** Told of each failure; `again` says whether another try follows by itself. */
  readonly onProblem: (problem: ApiProblem, again: boolean) => void;
}

/**
 * Calls `work` until it succeeds, with growing waits between, as long as its failures may pass by themselves.
 * Resolves with undefined after a failure that will not pass, or when `signal` aborts.
 */
export async function untilDone<T>(work: () => Promise<T>, options: RetryOptions): Promise<T | undefined> {
  const { signal, onProblem } = options;
  for (let attempt = 0; !signal.aborted; attempt++) {
    try {
      return await work();
    } catch (error) {
      if (signal.aborted) return undefined;
      const problem = asProblem(error);
      onProblem(problem, problem.passing);
      if (!problem.passing) return undefined;
      await pause(Math.max(1000, retryDelay(attempt + 1), (problem.retryAfter ?? 0) * 1000), signal);
    }
  }
  return undefined;
}

/** Resolves after `ms`, or earlier when the network comes back or `signal` aborts. */
async function pause(ms: number, signal: AbortSignal): Promise<void> {
  const { promise, resolve } = withResolvers();
  const timer = setTimeout(resolve, ms);
  window.addEventListener('online', resolve, { once: true });
  signal.addEventListener('abort', resolve, { once: true });
  await promise;
  clearTimeout(timer);
  window.removeEventListener('online', resolve);
  signal.removeEventListener('abort', resolve);
}

function withResolvers(): { promise: Promise<void>; resolve: () => void } {
  let resolve = () => {};
  const promise = new Promise<void>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
