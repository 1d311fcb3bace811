import { StoreUnavailable } from '../../core/errors.ts';
import { pause } from '../../core/timing.ts';

const DEADLINE_MS = 30_000;

/** Resolves or rejects as a query of the store does, or rejects with StoreUnavailable after 30 s. The query itself goes on. */
export async function inTime<T>(query: Promise<T>): Promise<T> {
  const settled = new AbortController();
  const late = async (): Promise<never> => {
    await pause(DEADLINE_MS, settled.signal);
    throw new StoreUnavailable('no answer in time');
  };
  try {
    return await Promise.race([query, late()]);
  } finally {
    settled.abort();
  }
}
