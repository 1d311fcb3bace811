import type { StoreRejected } from '../core/errors.ts';
import { explain } from '../core/errors.ts';
import type { DeadLetter, Publish } from '../telemetry/batch.ts';
import { subOf } from '../telemetry/instant.ts';
import type { Reading } from '../telemetry/reading.ts';
import { telemetryTopic } from '../telemetry/topic.ts';

const MAX_EXPLANATION = 2_000;
/** Most characters of the payload of a letter that holds several readings; a sensor itself may send 64 KiB. */
const MOST_TOGETHER = 32 * 1024;

/**
 * The dead letters of readings that the store refuses. They are marked as settled, since names, units and times of their
 * payloads are no longer those of the sensor; `settledReadings` reads them. A payload tells a time in whole ms by a clock
 * that is trusted. Any other time is told as the receipt of the letter. `now` is Unix ms.
 *
 * Readings that are older than the store keeps any come in numbers, a lot of a sensor at once: those of a sensor are one letter, as far as they
 * fit.
 */
export function rejectedByStore(readings: readonly Reading[], refusal: StoreRejected, now: number): DeadLetter[] {
  const { reason } = refusal;
  const explanation = explain(refusal).slice(0, MAX_EXPLANATION);
  const lots = reason === 'beyond_retention' ? lotsOf(readings) : readings.map((reading) => [reading]);
  return lots.flatMap((lot) => {
    const publish = publishOf(lot);
    return publish ? [{ publish, reason, explanation, at: now, settled: true }] : [];
  });
}

/** The readings by sensor, in lots that fit into one payload. What such a payload cannot tell is a lot of its own. */
function lotsOf(readings: readonly Reading[]): Reading[][] {
  const lots: Reading[][] = [];
  const open = new Map<string, { lot: Reading[]; size: number }>();
  for (const reading of readings) {
    const size = JSON.stringify(told(reading)).length + 1;
    const key = JSON.stringify([reading.farm, reading.sensor]);
    const begun = open.get(key);
    if (isTold(reading) && begun && begun.size + size <= MOST_TOGETHER) {
      begun.lot.push(reading);
      begun.size += size;
      continue;
    }
    const lot = [reading];
    lots.push(lot);
    if (isTold(reading)) open.set(key, { lot, size });
  }
  return lots;
}

/** One publish of readings of one sensor. */
function publishOf(lot: readonly Reading[]): Publish | undefined {
  const [first] = lot;
  if (!first) return undefined;
  const { farm, sensor, ts, received } = first;
  const payload = new TextEncoder().encode(JSON.stringify(lot.length === 1 ? told(first) : lot.map(told)));
  const topic = telemetryTopic(farm, sensor);
  return { farm, field: '', sensor, topic, payload, received: isTold(first) ? received : ts };
}

function told(reading: Reading): object {
  const { ts, values } = reading;
  return isTold(reading) ? { ts, values } : { values };
}

function isTold({ ts, deviceTs }: Reading): boolean {
  return subOf(ts) === 0 && deviceTs === undefined;
}
