import pLimit from 'p-limit';

/** A browser opens six connections to one address: charts leave some of them to everything else. */
const limit = pLimit(4);

/** Runs `work` when fewer than four others are under way. One whose `signal` aborts while it waits is not begun. */
export function inTurn<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  return limit(() => {
    signal.throwIfAborted();
    return work();
  });
}
