import { decodeLive } from '../../telemetry/batch.ts';
import type { DecodedBatch } from './decoder.ts';
import type { DecodedInThread } from './thread-messages.ts';

/** The answer of a decode thread, with its readings unpacked. */
export function decodedOf({
  batch,
  origin,
  live,
  dead,
  apart,
  publishes,
  oldest,
  skipped,
}: DecodedInThread): DecodedBatch {
  const { readings } = decodeLive(live);
  return { id: batch, origin, readings, live, dead, apart: apart ? [apart] : [], publishes, oldest, skipped };
}
