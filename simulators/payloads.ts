import { telemetryTopic } from '../telemetry/topic.ts';
import type { PayloadFormat } from './profile/schema.ts';
import type { SimulatedValues } from './sensor.ts';

/** One message of a device. */
export interface Encoded {
  readonly topic: string;
  readonly payload: string;
}

/** The sensor whose readings are encoded; `uplink` counts its messages from 1. */
export interface Sender {
  readonly farm: string;
  readonly id: string;
  readonly uplink: number;
}

const APPLICATION = 'loam-simulated';

/** Most readings of one message in a format: a LoRaWAN uplink carries one. */
export function mostReadings(format: PayloadFormat): number {
  return format === 'chirpstack' || format === 'ttn' ? 1 : 48;
}

/** Readings of one sensor, 1 to `mostReadings` of them, as a message in its payload format. */
export function encode(format: PayloadFormat, sender: Sender, readings: readonly SimulatedValues[]): Encoded {
  const { farm, id } = sender;
  const own = readings.length === 1 ? readings[0] : readings;
  switch (format) {
    case 'native':
      return { topic: telemetryTopic(farm, id), payload: JSON.stringify(own) };
    case 'thingsboard':
      return { topic: 'v1/devices/me/telemetry', payload: JSON.stringify(own) };
    case 'senml':
      return { topic: telemetryTopic(farm, id), payload: JSON.stringify(readings.flatMap(senml)) };
    case 'chirpstack':
      return {
        topic: `application/${APPLICATION}/device/${id}/event/up`,
        payload: JSON.stringify(chirpstack(sender, readings[0])),
      };
    case 'ttn':
      return { topic: `v3/${APPLICATION}@ttn/devices/${id}/up`, payload: JSON.stringify(ttn(sender, readings[0])) };
  }
}

/** RFC 8428: one record a metric; the first one of a reading carries the time of all, in seconds. */
function senml({ ts, values }: SimulatedValues): object[] {
  return Object.entries(values).map(([n, v], i) => (i === 0 ? { bt: ts / 1_000, n, v } : { n, v }));
}

/** An uplink event of ChirpStack v4, decoded by a codec of the network server. */
function chirpstack({ id, uplink }: Sender, reading: SimulatedValues | undefined): object {
  const { ts, radio, values } = split(reading);
  return {
    deduplicationId: `${id}-${uplink}`,
    time: new Date(ts).toISOString(),
    deviceInfo: {
      tenantName: 'loam',
      applicationId: APPLICATION,
      applicationName: APPLICATION,
      deviceProfileName: 'soil probe',
      deviceName: id,
      devEui: id,
    },
    devAddr: '00000000',
    adr: true,
    dr: 5,
    fCnt: uplink,
    fPort: 2,
    confirmed: false,
    data: '',
    object: values,
    rxInfo: [{ gatewayId: '0000000000000001', uplinkId: uplink, rssi: radio, snr: 7.5 }],
    txInfo: { frequency: 868_100_000, modulation: { lora: { bandwidth: 125_000, spreadingFactor: 7 } } },
  };
}

/** An uplink message of The Things Stack v3, decoded by a payload formatter. */
function ttn({ id, uplink }: Sender, reading: SimulatedValues | undefined): object {
  const { ts, radio, values } = split(reading);
  const at = new Date(ts).toISOString();
  return {
    end_device_ids: { device_id: id, application_ids: { application_id: APPLICATION } },
    received_at: at,
    uplink_message: {
      f_port: 2,
      f_cnt: uplink,
      frm_payload: '',
      decoded_payload: values,
      rx_metadata: [{ gateway_ids: { gateway_id: 'gateway-1' }, rssi: radio, channel_rssi: radio, snr: 7.5 }],
      settings: { data_rate: { lora: { bandwidth: 125_000, spreading_factor: 7 } }, frequency: '868100000' },
      received_at: at,
    },
  };
}

/** Takes the signal strength out of the values: in LoRaWAN the gateways measure it, not the devices. */
function split(reading: SimulatedValues | undefined): { ts: number; radio: number; values: Record<string, number> } {
  const { rssi = -100, ...values } = { ...reading?.values };
  return { ts: reading?.ts ?? 0, radio: rssi, values };
}

/** A message that cannot be read in any format. `which` chooses what is wrong with it. */
export function malformed(format: PayloadFormat, sender: Sender, which: number): Encoded {
  const { topic } = encode(format, sender, [{ ts: 0, values: { seq: 0 } }]);
  const payloads = [
    '{"ts":',
    'not JSON',
    '{"ts":"yesterday","values":{"soil_moisture":31}}',
    '[]',
    '\u0000\u0001\u0002',
    '"wet"',
  ];
  return { topic, payload: payloads[which % payloads.length] ?? '' };
}
