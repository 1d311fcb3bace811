import { readingsOfOwn } from '../../telemetry/batch.ts';
import type { DecodedBatch } from './decoder.ts';
import type { DecodedInThread } from './thread-messages.ts';

/** The answer of a decode thread, with its readings unpacked. */
export function decodedOf(answer: DecodedInThread): DecodedBatch {
  const { batch: id, origin, live, dead, apart, undated, publishes, oldest, skipped } = answer;
  const readings = readingsOfOwn(live);
  const left = { apart: apart ? [apart] : [], undated: undated ? [undated] : [] };
  return { id, origin, readings, live, dead, ...left, publishes, oldest, skipped };
}
