import { z } from 'zod';
import type { DeadLetter, Publish } from './batch.ts';
import type { Decoded } from './formats/decoded.ts';
import { isInstant } from './instant.ts';
import { MAX_TS, METRIC_NAME, MIN_TS, type Reading } from './reading.ts';

/** Readings of one sensor as a payload that `decodeImported` reads. They are in the registry's metrics and units already. */
export function encodeImported(readings: readonly Pick<Reading, 'ts' | 'values'>[]): Uint8Array {
  return new TextEncoder().encode(JSON.stringify(readings.map(({ ts, values }) => ({ ts, values }))));
}

const rows = z.array(
  z.strictObject({
    ts: z.number().min(MIN_TS).max(MAX_TS).refine(isInstant),
    values: z.record(z.string().regex(METRIC_NAME), z.number()),
  }),
);

/**
 * The readings of an imported publish, as they are. Names, units and times were settled when the file was read. The
 * sensor's own clock and units do not apply: they are about what the sensor itself sends. Never throws.
 */
export function decodeImported({ farm, sensor, payload, received }: Publish): Decoded {
  const read = rows.safeParse(parsed(payload));
  if (!read.success) {
    const explanation = 'not the readings of an import';
    return { readings: [], refused: [{ reason: 'not_an_object', path: '$', explanation }], skipped: 0 };
  }
  const readings = read.data.map(({ ts, values }): Reading => ({ farm, sensor, ts, received, values, backfill: true }));
  return { readings, refused: [], skipped: 0 };
}

const settledRow = z.strictObject({ ts: z.number().optional(), values: z.record(z.string(), z.number()) });
const settledRows = z.union([z.array(settledRow).min(1), settledRow.transform((row) => [row])]);
/** Why the store alone sets letters aside. Those of earlier versions have no mark. */
const OF_STORE: ReadonlySet<string> = new Set(['store_rejected', 'beyond_retention']);

/**
 * The readings in the letter of readings that were settled when they were read, and that the store refused then; undefined
 * when the letter is any other. One without a time was measured at the receipt.
 */
export function settledReadings({
  publish,
  reason,
  settled,
}: DeadLetter): Pick<Reading, 'ts' | 'values'>[] | undefined {
  if (!settled && !OF_STORE.has(reason)) return undefined;
  const read = settledRows.safeParse(parsed(publish.payload));
  return read.success ? read.data.map(({ ts = publish.received, values }) => ({ ts, values })) : undefined;
}

function parsed(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(payload));
  } catch {
    return undefined;
  }
}
