import type { Publish } from '../batch.ts';
import type { SensorRules } from '../sensor-rules.ts';
import { type PublishForm, parsePublishTopic } from '../topic.ts';
import { takeChirpstack } from './chirpstack.ts';
import { type Decoded, type FoundReadings, type PayloadContext, Refusals } from './decoded.ts';
import { parseJson } from './json.ts';
import { takeNative } from './native.ts';
import { isSenml, takeSenml } from './senml.ts';
import { takeThingsboard } from './thingsboard.ts';
import { settleTimes } from './times.ts';
import { takeTtn } from './ttn.ts';

/** A payload format: its kind of topic, how its payloads are recognised there, and how readings are found in one. */
export interface Format {
  readonly name: string;
  readonly form: PublishForm;
  /** Whether a JSON value is in this format. Absent: the format takes what no format before it took. */
  readonly matches?: (payload: unknown) => boolean;
  /** Never throws: what it cannot take is added to `refusals`. */
  readonly take: (payload: unknown, context: PayloadContext, refusals: Refusals) => FoundReadings;
}

/** Every format. Among formats of one form, the first that matches takes the payload. */
export const FORMATS: readonly Format[] = [
  { name: 'senml', form: 'native', matches: isSenml, take: takeSenml },
  { name: 'native', form: 'native', take: takeNative },
  { name: 'thingsboard', form: 'thingsboard', take: takeThingsboard },
  { name: 'chirpstack', form: 'chirpstack', take: takeChirpstack },
  { name: 'ttn', form: 'ttn', take: takeTtn },
];

/**
 * What is in a publish, by the format that its topic and content choose. Never throws. The result has readings,
 * refusals or both, or bytes that a codec has to read; a payload is never ignored silently.
 */
export function decodePublish(publish: Publish, rules: SensorRules): Decoded {
  const refusals = new Refusals();
  const context = { farm: publish.farm, sensor: publish.sensor, received: publish.received, rules };
  const json = parseJson(publish.payload, refusals);
  if (!json) return { readings: [], refused: refusals.list(), skipped: 0 };
  const form = formOf(publish.topic);
  const format = FORMATS.find((one) => one.form === form && (one.matches?.(json.value) ?? true));
  const { drafts, skipped, bytes } = format?.take(json.value, context, refusals) ?? { drafts: [], skipped: 0 };
  const readings = settleTimes(drafts, context, refusals);
  if (readings.length === 0 && refusals.none && !bytes) refusals.add('no_values', '$', 'there is no value in it');
  const { clock } = refusals;
  const refused = refusals.list();
  return { readings, refused, skipped, ...(bytes ? { bytes } : {}), ...(clock ? { clock } : {}) };
}

/** The broker has checked the whole topic. For the native form, the most frequent, its first level is enough here. */
function formOf(topic: string): PublishForm {
  return topic.startsWith('farms/') ? 'native' : (parsePublishTopic(topic)?.form ?? 'native');
}
