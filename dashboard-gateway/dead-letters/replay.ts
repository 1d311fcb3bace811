import { type Batch, type DeadLetter, encodeBatch } from '../../telemetry/batch.ts';
import { type Registry, UNASSIGNED } from '../../telemetry/registry.ts';
import { parsePublishTopic } from '../../telemetry/topic.ts';

/** Why a letter cannot be tried again, in words for a person. */
export interface CannotReplay {
  readonly why: string;
}

/**
 * The queue message that tries a letter again, as its sensor would send it today: the payload, the topic and the time of receipt are the
 * old ones, the registry is today's. The id depends on the letter alone, so that a message sent twice is announced once.
 */
export function replayMessage(
  letter: DeadLetter,
  offset: number,
  epoch: string,
  registry: Registry,
): Uint8Array | CannotReplay {
  const { publish } = letter;
  // A queue message that nobody could read goes in as it was: a newer version may read it.
  if (publish.topic === '') return publish.payload;
  const named = parsePublishTopic(publish.topic);
  if (!named) return { why: `nobody publishes readings to ${publish.topic}` };
  const farm = named.farm ?? publish.farm;
  const sensor = named.sensor ?? publish.sensor;
  if (farm !== publish.farm) return { why: `the topic belongs to another farm than the sensor that published to it` };
  const known = registry.sensors.get(sensor);
  // In words that do not tell whether another farm has it.
  if (known && known.farm !== farm) return { why: `whoever sent it may not publish for "${sensor}"` };
  const batch: Batch = {
    id: `replay-${epoch}-${offset}`,
    publishes: [{ ...publish, sensor, field: known?.field ?? UNASSIGNED }],
    origin: 'replay',
  };
  return encodeBatch(batch);
}
