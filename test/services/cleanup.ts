import { constants } from 'node:os';

/**
 * What has to be undone when the run is over. `end` is awaited by the root hook; `exit` is what can still be done
 * synchronously when the process goes without having come that far (a signal, an uncaught exception).
 */
export interface Cleanup {
  end(): Promise<void>;
  exit(): void;
}

const pending = new Set<Cleanup>();
let watching = false;

/** Registers a clean-up and returns the function that takes it off the list once it was done by hand. */
export function atEnd(cleanup: Cleanup): () => void {
  watchForExit();
  pending.add(cleanup);
  return () => {
    pending.delete(cleanup);
  };
}

/** Undoes everything, the youngest first, goes on past failures and rejects with all of them at the end. */
export async function endAll(): Promise<void> {
  const failures: unknown[] = [];
  while (pending.size > 0) {
    for (const cleanup of [...pending].reverse()) {
      pending.delete(cleanup);
      await cleanup.end().catch((error: unknown) => failures.push(error));
    }
  }
  if (failures.length > 0) {
    throw new AggregateError(failures, `cleaning up after the tests failed: ${failures.map(String).join('; ')}`);
  }
}

function watchForExit(): void {
  if (watching) {
    return;
  }
  watching = true;
  process.once('exit', () => {
    for (const cleanup of [...pending].reverse()) {
      cleanup.exit();
    }
  });
  // A signal's default action skips 'exit'.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => process.exit(128 + constants.signals[signal]));
  }
}
