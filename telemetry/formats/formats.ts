import type { Publish } from '../batch.ts';
import type { Mapped } from '../mappings/table.ts';
import type { SensorRules } from '../sensor-rules.ts';
import { type PublishForm, parsePublishTopic } from '../topic.ts';
import { takeChirpstack, takeChirpstackStatus } from './chirpstack.ts';
import {
  type Decoded,
  type DeviceOf,
  type FoundReadings,
  NOTHING,
  type PayloadContext,
  quote,
  Refusals,
} from './decoded.ts';
import { takeGateway } from './gateway.ts';
import { parseJson } from './json.ts';
import { takeMapped } from './mapped.ts';
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
  { name: 'thingsboard gateway', form: 'gateway', take: takeGateway },
  { name: 'chirpstack', form: 'chirpstack', take: takeChirpstack },
  { name: 'chirpstack status', form: 'chirpstack_status', take: takeChirpstackStatus },
  { name: 'ttn', form: 'ttn', take: takeTtn },
];

/** What else is known of a publish that is to be read. */
export interface Around {
  /** What the farm's mappings say of it. Without this a topic that Loam does not know is read as its own. */
  readonly mappedBy?: (publish: Publish) => Mapped | undefined;
  /** The context of a device that a gateway's publish names. */
  readonly deviceOf?: (publish: Publish, name: string) => ReturnType<DeviceOf>;
}

/**
 * What is in a publish, by the format that its topic and content choose. Never throws. The result has readings,
 * refusals or both, or bytes that a codec has to read, or a count of what was passed over; a payload is never ignored
 * silently.
 */
export function decodePublish(publish: Publish, rules: SensorRules, around: Around = {}): Decoded {
  const refusals = new Refusals();
  const { farm, sensor, received } = publish;
  const context = { farm, sensor, received, rules };
  const { drafts, skipped, bytes, ofOthers } = found(publish, context, refusals, around);
  const own = settleTimes(drafts, context, refusals);
  const readings = ofOthers ? [...ofOthers, ...own] : own;
  if (readings.length === 0 && refusals.none && !bytes && skipped === 0) {
    refusals.add('no_values', '$', 'there is no value in it');
  }
  const { clock } = refusals;
  const refused = refusals.list();
  return { readings, refused, skipped, ...(bytes ? { bytes } : {}), ...(clock ? { clock } : {}) };
}

function found(publish: Publish, context: PayloadContext, refusals: Refusals, around: Around): FoundReadings {
  const { mappedBy, deviceOf } = around;
  const form = formOf(publish.topic);
  if (form === undefined && mappedBy) {
    const mapped = mappedBy(publish);
    if (mapped) return takeMapped(publish, mapped, context, refusals);
    refusals.add('no_mapping', '$', `no mapping of the farm says any more what ${quote(publish.topic)} means`);
    return NOTHING;
  }
  const json = parseJson(publish.payload, refusals);
  if (!json) return NOTHING;
  const format = FORMATS.find((one) => one.form === (form ?? 'native') && (one.matches?.(json.value) ?? true));
  const devices = form === 'gateway' && deviceOf ? { deviceOf: (name: string) => deviceOf(publish, name) } : {};
  return format?.take(json.value, form === 'gateway' ? { ...context, ...devices } : context, refusals) ?? NOTHING;
}

/** The broker has checked the whole topic. For the native form, the most frequent, its first level is enough here. */
function formOf(topic: string): PublishForm | undefined {
  return topic.startsWith('farms/') ? 'native' : parsePublishTopic(topic)?.form;
}
