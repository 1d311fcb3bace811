import { type Batch, type DeadLetter, encodeBatch } from '../../telemetry/batch.ts';
import type { Registry } from '../../telemetry/registry/registry.ts';
import { UNASSIGNED } from '../../telemetry/registry/things.ts';
import { parsePublishTopic } from '../../telemetry/topic.ts';

/** Why a letter cannot be tried again, in words for a person. */
export interface CannotReplay {
  readonly why: string;
}

/**
 * Makes the queue message that tries a letter again, as its sensor would send it today. Payload, topic and receipt are
 * those of the letter; the registry is today's. The batch id depends only on the letter, so a message that is sent
 * twice is announced once.
 */
export function replayMessage(
  letter: DeadLetter,
  offset: number,
  epoch: string,
  registry: Registry,
): Uint8Array | CannotReplay {
  const { publish } = letter;
  // Without a topic, the letter is a whole queue message that could not be decoded. It is sent unchanged: a newer
  // version may decode it.
  if (publish.topic === '') return publish.payload;
  const named = parsePublishTopic(publish.topic);
  if (!named) return { why: `nobody publishes readings to ${publish.topic}` };
  const farm = named.farm ?? publish.farm;
  const sensor = named.sensor ?? publish.sensor;
  if (farm !== publish.farm) return { why: `the topic belongs to another farm than the sensor that published to it` };
  const field = registry.sensor(farm, sensor)?.field ?? UNASSIGNED;
  const batch: Batch = {
    id: `replay-${epoch}-${offset}`,
    publishes: [{ ...publish, sensor, field }],
    origin: 'replay',
  };
  return encodeBatch(batch);
}
