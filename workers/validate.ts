import type { Batch, DeadLetter, Publish } from '../telemetry/batch.ts';
import { decodeNative } from '../telemetry/formats/native.ts';
import type { Reading } from '../telemetry/reading.ts';
import { telemetryTopic } from '../telemetry/topic.ts';

const MAX_EXPLANATION = 2_000;

/** What became of a batch: every publish in it is readings, a dead letter, or partly both. */
export interface Validated {
  readonly readings: Reading[];
  readonly dead: DeadLetter[];
}

/** Makes readings of raw publishes. Never throws: what is not understood becomes a dead letter. `now` is Unix ms. */
export function validateBatch(batch: Batch, now: number): Validated {
  const readings: Reading[] = [];
  const dead: DeadLetter[] = [];
  for (const publish of batch.publishes) {
    const decoded = decodeNative(publish.payload, publish);
    readings.push(...decoded.readings);
    const [first] = decoded.refused;
    if (!first) continue;
    const explanation = decoded.refused.map((part) => `${part.path || 'payload'}: ${part.explanation}`).join('; ');
    dead.push({ publish, reason: first.reason, explanation: explanation.slice(0, MAX_EXPLANATION), at: now });
  }
  return { readings, dead };
}

/** The dead letter of a queue message that is no batch. It is nobody's, but it was acknowledged to somebody: kept whole. */
export function unreadable(body: Uint8Array, now: number): DeadLetter {
  const publish: Publish = { farm: '', field: '', sensor: '', topic: '', payload: body, received: now };
  return {
    publish,
    reason: 'unreadable_batch',
    explanation: 'the queue message is not a batch that this version writes',
    at: now,
  };
}

/** The dead letter of one reading that the store refuses, as a payload that can be published again. */
export function rejectedByStore(reading: Reading, explanation: string, now: number): DeadLetter {
  const { farm, sensor, ts, values, received } = reading;
  const payload = new TextEncoder().encode(JSON.stringify({ ts, values }));
  const publish: Publish = { farm, field: '', sensor, topic: telemetryTopic(farm, sensor), payload, received };
  return { publish, reason: 'store_rejected', explanation: explanation.slice(0, MAX_EXPLANATION), at: now };
}
