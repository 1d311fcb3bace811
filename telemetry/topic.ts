import { ID } from './reading.ts';

/** Where a sensor publishes: `farms/{farm}/sensors/{sensor}/telemetry`. */
export interface TelemetryTopic {
  readonly farm: string;
  readonly sensor: string;
}

/** The farm and sensor that a native telemetry topic names, or undefined when it is not one. */
export function parseTelemetryTopic(topic: string): TelemetryTopic | undefined {
  const parts = topic.split('/');
  if (parts.length !== 5) return undefined;
  const [farms, farm, sensors, sensor, telemetry] = parts;
  if (farms !== 'farms' || sensors !== 'sensors' || telemetry !== 'telemetry') return undefined;
  if (farm === undefined || sensor === undefined || !ID.test(farm) || !ID.test(sensor)) return undefined;
  return { farm, sensor };
}

/** The topic that `sensor` of `farm` publishes its readings to. */
export function telemetryTopic(farm: string, sensor: string): string {
  return `farms/${farm}/sensors/${sensor}/telemetry`;
}

/** The topic that `sensor` of `farm` may subscribe to for commands. */
export function commandsTopic(farm: string, sensor: string): string {
  return `farms/${farm}/sensors/${sensor}/commands`;
}

/** The payload forms that a topic tells; on the native topic the content decides between Loam's own form and SenML. */
export type PublishForm = 'native' | 'thingsboard' | 'gateway' | 'chirpstack' | 'chirpstack_status' | 'ttn';

/**
 * What a publish's topic says: the form of its payload and, where the topic names them, the farm and the sensor.
 * ThingsBoard's topics name no sensor: it is the client that is signed in, or, of a gateway, each device that the payload
 * names. ChirpStack's devEui and The Things Stack's device id are sensor ids.
 */
export interface PublishTopic {
  readonly form: PublishForm;
  readonly farm?: string;
  readonly sensor?: string;
}

const THINGSBOARD_TOPICS: ReadonlyMap<string, PublishForm> = new Map([
  ['v1/devices/me/telemetry', 'thingsboard'],
  ['v1/devices/me/attributes', 'thingsboard'],
  ['v1/gateway/telemetry', 'gateway'],
  ['v1/gateway/attributes', 'gateway'],
]);

/**
 * ChirpStack's topics behind `application/{application}/device/{devEui}/`: of version 4 and 3, and of version 3 as it
 * began. https://www.chirpstack.io/docs/chirpstack/integrations/mqtt.html
 */
const CHIRPSTACK_EVENTS: ReadonlyMap<string, PublishForm> = new Map([
  ['event/up', 'chirpstack'],
  ['event/status', 'chirpstack_status'],
  ['rx', 'chirpstack'],
  ['status', 'chirpstack_status'],
]);

/** What a topic that readings are published to says, or undefined when it is not such a topic. */
export function parsePublishTopic(topic: string): PublishTopic | undefined {
  const native = parseTelemetryTopic(topic);
  if (native) return { form: 'native', ...native };
  const thingsboard = THINGSBOARD_TOPICS.get(topic);
  if (thingsboard) return { form: thingsboard };
  const [first, application, middle, device, ...rest] = topic.split('/');
  if (!application || device === undefined || !ID.test(device)) return undefined;
  const event = rest.join('/');
  if (first === 'application' && middle === 'device') {
    const form = CHIRPSTACK_EVENTS.get(event);
    return form && { form, sensor: device };
  }
  // The Things Stack v3: v3/{application}@{tenant}/devices/{device}/up; a server without tenants leaves the second part out.
  if (first === 'v3' && middle === 'devices' && event === 'up') return { form: 'ttn', sensor: device };
  return undefined;
}
