import type { Decoded } from '../../telemetry/formats/decoded.ts';
import { decodePublish } from '../../telemetry/formats/formats.ts';
import { parseRegistry } from '../../telemetry/registry/file.ts';
import type { Registry } from '../../telemetry/registry/registry.ts';
import { Rulebook, type SensorRules } from '../../telemetry/sensor-rules.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';

/** The moment at which test payloads are received, Unix ms. */
export const RECEIVED = Date.UTC(2026, 4, 1, 12);

export const TOPICS = {
  native: telemetryTopic('north', 's1'),
  thingsboard: 'v1/devices/me/telemetry',
  ttn: 'v3/farm@tenant/devices/s1/up',
  chirpstack: 'application/7/device/s1/event/up',
  status: 'application/7/device/s1/event/status',
} as const;

/** Reading YAML takes longer than decoding many payloads. */
const parsed = new Map<string, Registry>();

/** The rules of sensor s1 of a farm in Berlin; `sensor` and `metrics` are what the registry says of them, in YAML's flow form. */
export function rules(sensor = '', metrics = ''): SensorRules {
  const text = `
farms: [{ id: north, name: North, timezone: Europe/Berlin }]
sensors: [{ id: s1, farm: north${sensor && `, ${sensor}`} }]
metrics: [${metrics}]
`;
  const registry = parsed.get(text) ?? parseRegistry(text);
  parsed.set(text, registry);
  return new Rulebook().of('north', 's1', registry);
}

/** What becomes of `payload`, bytes or a JSON value, on a topic of `form`. */
export function decode(
  form: keyof typeof TOPICS,
  payload: unknown,
  by: SensorRules = rules(),
  received = RECEIVED,
): Decoded {
  const bytes = payload instanceof Uint8Array ? payload : new TextEncoder().encode(JSON.stringify(payload));
  const topic = TOPICS[form];
  return decodePublish({ farm: 'north', field: 'f', sensor: 's1', topic, payload: bytes, received }, by);
}

/** An uplink as The Things Stack tells it. */
export function ttnUplink(message: object): object {
  return {
    end_device_ids: { device_id: 's1', application_ids: { application_id: 'farm' }, dev_eui: '70B3D57ED0001234' },
    received_at: '2026-05-01T11:59:58.123456789Z',
    uplink_message: {
      f_port: 2,
      f_cnt: 17,
      rx_metadata: [
        { gateway_ids: { gateway_id: 'barn' }, rssi: -112, channel_rssi: -112, snr: -4.5 },
        { gateway_ids: { gateway_id: 'house' }, rssi: -97, channel_rssi: -97, snr: 6.25 },
      ],
      settings: { data_rate: { lora: { bandwidth: 125_000, spreading_factor: 7 } }, frequency: '868300000' },
      received_at: '2026-05-01T11:59:57.900000000Z',
      ...message,
    },
  };
}

/** An uplink as ChirpStack v4 tells it. */
export function chirpstackUplink(message: object): object {
  return {
    deduplicationId: '3ac7e3c4-4401-4b8d-9386-a5c902f9202d',
    time: '2026-05-01T11:59:57.900+00:00',
    deviceInfo: { tenantName: 'farm', applicationName: 'soil', deviceName: 'row 3', devEui: '70b3d57ed0001234' },
    devAddr: '00189440',
    dr: 5,
    fCnt: 17,
    fPort: 2,
    rxInfo: [{ gatewayId: '0016c001f153a14c', uplinkId: 4217, rssi: -97, snr: 6.25 }],
    txInfo: { frequency: 868_100_000 },
    ...message,
  };
}
