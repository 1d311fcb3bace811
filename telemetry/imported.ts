import { z } from 'zod';
import type { Publish } from './batch.ts';
import type { Decoded } from './formats/decoded.ts';
import { isInstant } from './instant.ts';
import { MAX_TS, METRIC_NAME, MIN_TS, type Reading } from './reading.ts';

/** The readings of one sensor as a payload that `decodeImported` reads. They are in the registry's metrics and units already. */
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

function parsed(payload: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder().decode(payload));
  } catch {
    return undefined;
  }
}
