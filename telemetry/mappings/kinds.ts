import { readPattern, type TopicPattern } from './pattern.ts';

/** The systems whose topics and payloads Loam knows by itself. */
export const MAPPING_KINDS = ['zigbee2mqtt', 'tasmota', 'shelly'] as const;
export type MappingKind = (typeof MAPPING_KINDS)[number];

/** How the payload of a mapped topic is read. `nothing`: it is no reading, and is passed over. */
export type MappedForm =
  | 'values'
  | 'value'
  | 'codec'
  | 'zigbee2mqtt'
  | 'tasmota_sensor'
  | 'tasmota_state'
  | 'shelly_value'
  | 'shelly_status'
  | 'shelly_rpc'
  | 'nothing';

type KindTopics = readonly (readonly [pattern: string, form: MappedForm])[];

/** Where each kind’s devices publish when nobody has set another topic. */
export const USUAL_TOPICS: Readonly<Record<MappingKind, readonly string[]>> = {
  zigbee2mqtt: ['zigbee2mqtt/{sensor}'],
  tasmota: ['tele/{sensor}'],
  shelly: ['shellies/{sensor}', '{sensor}'],
};

/** The topics of a kind under `topic`, that of one device; those that a kind has beside devices are passed over. */
export function topicsOfKind(kind: MappingKind, topic: string | undefined): KindTopics {
  const given = topic === undefined ? USUAL_TOPICS[kind] : [topic];
  return given.flatMap((one) => TOPICS[kind](one));
}

const TOPICS: Readonly<Record<MappingKind, (topic: string) => KindTopics>> = {
  // https://www.zigbee2mqtt.io/guide/usage/mqtt_topics_and_messages.html
  zigbee2mqtt: (topic) => [
    [topic, 'zigbee2mqtt'],
    [`${topic}/#`, 'nothing'],
    [`${topic.replace('{sensor}', 'bridge')}/#`, 'nothing'],
  ],
  // https://tasmota.github.io/docs/MQTT/: the periodic readings, and the state. Answers to commands are under `stat`.
  tasmota: (topic) => {
    const device = topic.replace(/\/(?:SENSOR|STATE)$/, '');
    return [
      [`${device}/SENSOR`, 'tasmota_sensor'],
      [`${device}/STATE`, 'tasmota_state'],
      [`${device}/#`, 'nothing'],
      ...(device.startsWith('tele/') ? ([[`stat/${device.slice(5)}/#`, 'nothing']] as const) : []),
      ['tasmota/discovery/#', 'nothing'],
    ];
  },
  // https://shelly-api-docs.shelly.cloud/gen1/#mqtt and /gen2/ComponentsAndServices/Mqtt
  shelly: (topic) => [
    [`${topic}/events/rpc`, 'shelly_rpc'],
    [`${topic}/status/{path}`, 'shelly_status'],
    ...['online', 'rpc', 'debug/#', 'announce', 'info', 'command/#'].map(
      (notice) => [`${topic}/${notice}`, 'nothing'] as const,
    ),
    ...(topic === '{sensor}' ? [] : ([[`${topic}/{path}`, 'shelly_value']] as const)),
    ['shellies/announce', 'nothing'],
    ['shellies/command', 'nothing'],
  ],
};

/** The topic filters of a kind, as patterns. Throws for a topic that `readPattern` does not take. */
export function patternsOfKind(kind: MappingKind, topic: string | undefined): [TopicPattern, MappedForm][] {
  return topicsOfKind(kind, topic).map(([text, form]) => {
    const pattern = readPattern(text);
    if (typeof pattern === 'string') throw new Error(`${text}: ${pattern}`);
    return [pattern, form];
  });
}
