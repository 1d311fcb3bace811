import type { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import type { ClockHistory } from '../../backbone/clocks/clock-history.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { runId } from '../../telemetry/account/batch-place.ts';
import { type Batch, type DeadLetter, encodeBatch, type Publish } from '../../telemetry/batch.ts';
import { encodeImported, settledReadings } from '../../telemetry/imported.ts';
import { placeOf } from '../../telemetry/publish-place.ts';
import type { Registry } from '../../telemetry/registry/registry.ts';
import { UNASSIGNED } from '../../telemetry/registry/things.ts';

/** Why a letter cannot be tried again, in words for a person. */
export interface CannotReplay {
  readonly why: string;
}

/**
 * Makes the batch that tries a letter again, as its sensor would send it today. Payload and topic are those of
 * the letter; the registry is today's, so
 * is the right of who published it to do so, and the receipt is that of the letter by the clock as it was set since. It is never judged by the time of now. The batch id depends only on the letter, so a batch that is sent twice is announced
 * once. A letter that is a whole queue message stays one.
 *
 * Readings that only the store refused are in their metrics' units already: read by the sensor's rules they would be
 * converted a second time. They go the way of an import, whose readings are taken as they are, and are no news.
 */
export function replayMessage(
  letter: DeadLetter,
  offset: number,
  epoch: string,
  registry: Registry,
  clocks?: Pick<ClockHistory, 'knows' | 'corrected'>,
): Batch | Uint8Array | CannotReplay {
  const { publish } = letter;
  // Without a topic, the letter is a whole queue message that could not be decoded. It is sent unchanged: a newer
  // version may decode it.
  if (publish.topic === '') return publish.payload;
  if (letter.reason === 'too_large') return { why: 'only the beginning of its payload was kept' };
  const place = placeOf(registry, publish.farm, publish.via?.id ?? publish.sensor, publish.topic);
  if (!place) return { why: `nobody publishes readings to ${publish.topic}` };
  const { farm, sensor = publish.sensor } = place;
  if (farm !== publish.farm) return { why: `the topic belongs to another farm than the sensor that published to it` };
  if ((sensor !== publish.sensor || place.isOfMany) && !speaksForOthers(publish, registry)) {
    return {
      why: `${publish.sensor} published it and, not being a bridge of the farm, has no right to speak for ${place.isOfMany ? 'others' : sensor}`,
    };
  }
  const field = registry.sensor(farm, sensor)?.field ?? UNASSIGNED;
  const id = `replay-${epoch}-${offset}`;
  const settled = settledReadings(letter);
  if (settled) {
    return { id, publishes: [{ ...publish, sensor, field, payload: encodeImported(settled) }], origin: 'import' };
  }
  if (!clocks || letter.run === undefined || !clocks.knows(letter.run)) {
    return { id, publishes: [{ ...publish, sensor, field }], origin: 'replay' };
  }
  const { received, run, waits } = clocks.corrected(letter.run, publish.received);
  return { id: `${runId(run, waits)}:${id}`, publishes: [{ ...publish, received, sensor, field }], origin: 'replay' };
}

/** Whether who published it may publish for other sensors of the farm today. Letters of earlier versions do not say whether that was a source. */
function speaksForOthers({ farm, sensor, via }: Publish, registry: Registry): boolean {
  const own = registry.sensor(farm, via?.id ?? sensor);
  if (via?.kind !== 'source' && own) return own.role === 'bridge';
  return via?.kind !== 'bridge' && registry.sources.get(via?.id ?? sensor)?.farm === farm;
}

/** Publishes what `replayMessage` has made. A whole queue message keeps what it says of its place: it is not accounted for. */
export async function publishReplay(queue: Queue, entrance: BatchEntrance, message: Batch | Uint8Array): Promise<void> {
  if (message instanceof Uint8Array) await queue.publish(message);
  else await entrance.send((place) => queue.publish(encodeBatch({ ...message, place })));
}
