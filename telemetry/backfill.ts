import type { Reading } from './reading.ts';

/** A reading that was older than this when it was received is no news, ms. */
export const BACKFILL_AGE_MS = 15 * 60_000;

/** Whether a reading was late already when it was received. Workers mark it so, and the mark travels in the live log. */
export function isLate({ ts, received }: Pick<Reading, 'ts' | 'received'>): boolean {
  return received - ts > BACKFILL_AGE_MS;
}

/**
 * Whether a reading only fills in the past: it was late when it came, or it is older than the newest one of its sensor (`newest`,
 * Unix ms, where one is known). Such a reading is stored, never takes the place of the latest value, and is nothing to alert on.
 */
export function isBackfill(reading: Pick<Reading, 'ts' | 'received' | 'backfill'>, newest?: number): boolean {
  return reading.backfill === true || isLate(reading) || (newest !== undefined && reading.ts < newest);
}
