/** A browser opens six connections to one address: charts leave some of them to everything else. */
const AT_ONCE = 4;

let running = 0;
const waiting: (() => void)[] = [];

/** Runs `work` when fewer than four others are under way. One whose `signal` aborts while it waits is not begun. */
export async function inTurn<T>(work: () => Promise<T>, signal: AbortSignal): Promise<T> {
  if (running >= AT_ONCE) await new Promise<void>((begin) => waiting.push(begin));
  else running++;
  try {
    signal.throwIfAborted();
    return await work();
  } finally {
    const next = waiting.shift();
    if (next) next();
    else running--;
  }
}
