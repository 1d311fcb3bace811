/** A server may ask by Retry-After for a pause up to this, ms; a longer one is cut to it. */
export const LONGEST_ASKED_MS = 60_000;

/** Resolves or rejects as `work` does, or rejects with an Error of `message` after `ms`. The work itself goes on. */
export async function withDeadline<T>(work: Promise<T>, ms: number, message: string): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(message)), ms);
  });
  try {
    return await Promise.race([work, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Resolves after `ms`, or at once when `signal` is aborted. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** Full-jitter backoff: a random time in ms up to 2^attempt × `firstMs`, at most `mostMs`. `attempt` counts from 0. */
export function backoff(attempt: number, firstMs = 100, mostMs = 10_000): number {
  return Math.random() * Math.min(mostMs, firstMs * 2 ** Math.min(attempt, 20));
}
