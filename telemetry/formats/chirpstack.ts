import { type FoundReadings, NOTHING, type PayloadContext, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { takeReception } from './times.ts';
import { radioOf, takeUplink } from './uplink.ts';

/**
 * The reading in an uplink of ChirpStack in JSON: `object` (version 4, and 3 as it began) or `objectJSON` (version 3),
 * else the bytes of `data` for a codec. It is dated by the gateway that received it: version 4 says so in `time`, version 3 in
 * `rxInfo`.
 * https://www.chirpstack.io/docs/chirpstack/integrations/events.html#up
 */
export function takeChirpstack(payload: unknown, context: PayloadContext, refusals: Refusals): FoundReadings {
  if (!isObject(payload) || !UPLINK_KEYS.some((key) => Object.hasOwn(payload, key))) {
    refusals.add('not_an_uplink', '$', 'an uplink of ChirpStack has "deviceInfo" or "devEUI", and "object" or "data"');
    return NOTHING;
  }
  const at = receptionOf(payload, context, refusals);
  if (at === null) return NOTHING;
  const inText = typeof payload.objectJSON === 'string' && payload.objectJSON !== '';
  const decoded = inText ? parsed(payload.objectJSON, refusals) : payload.object;
  return takeUplink(
    {
      at,
      decoded,
      path: inText ? '$.objectJSON' : '$.object',
      data: payload.data,
      fPort: payload.fPort,
      radio: radioOf(payload.rxInfo),
    },
    context,
    refusals,
  );
}

const UPLINK_KEYS = ['deviceInfo', 'devEUI', 'data', 'object', 'objectJSON'] as const;

/**
 * The readings in what ChirpStack tells of a device's status: its battery, and the margin of its downlinks in dB.
 * https://www.chirpstack.io/docs/chirpstack/integrations/events.html#status
 */
export function takeChirpstackStatus(payload: unknown, context: PayloadContext, refusals: Refusals): FoundReadings {
  if (!isObject(payload)) {
    refusals.add('not_an_uplink', '$', 'a status of ChirpStack has "margin" and "batteryLevel"');
    return NOTHING;
  }
  const at = receptionOf(payload, context, refusals);
  if (at === null) return NOTHING;
  const values = { ...batteryIn(payload), ...finite('margin', payload.margin) };
  if (Object.keys(values).length === 0) return { drafts: [], skipped: 1 };
  return { drafts: [{ at, path: '$', values }], skipped: 0 };
}

/** Of the battery: its level in %, or as LoRaWAN tells it, where 254 is full, 0 means mains, and 255 that it is unknown. */
function batteryIn({ batteryLevel, battery, ...status }: Readonly<Record<string, unknown>>): Record<string, number> {
  if (status.externalPowerSource === true || status.batteryLevelUnavailable === true) return {};
  if (batteryLevel !== undefined) return finite('battery_level', batteryLevel);
  if (typeof battery !== 'number' || !(battery >= 1 && battery <= 254)) return {};
  return { battery_level: Math.round((battery / 254) * 1000) / 10 };
}

function finite(metric: string, value: unknown): Record<string, number> {
  return typeof value === 'number' && Number.isFinite(value) ? { [metric]: value } : {};
}

/** When a message was received, Unix ms; undefined when it does not say, and null when that was refused. */
function receptionOf(
  payload: Readonly<Record<string, unknown>>,
  context: PayloadContext,
  refusals: Refusals,
): number | undefined | null {
  const { time } = payload;
  if (typeof time === 'string' || typeof time === 'number') return takeReception(time, 'time', context, refusals);
  const heard = (Array.isArray(payload.rxInfo) ? payload.rxInfo.slice(0, 100) : []).filter(isObject);
  const given = [...heard.map((gateway) => gateway.time), payload.publishedAt].find((one) => typeof one === 'string');
  return given === undefined ? undefined : takeReception(given, 'rxInfo', context, refusals);
}

function parsed(json: unknown, refusals: Refusals): unknown {
  try {
    return JSON.parse(String(json));
  } catch {
    refusals.add('not_json', '$.objectJSON', 'the text is not JSON');
    return undefined;
  }
}
