import { type FoundReadings, NOTHING, type PayloadContext, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { takeReception } from './times.ts';
import { radioOf, takeUplink } from './uplink.ts';

/**
 * The reading in an uplink of ChirpStack v4 in JSON: `object`, else the bytes of `data` for a codec.
 * It is dated by the gateway that received it.
 * https://www.chirpstack.io/docs/chirpstack/integrations/events.html#up
 */
export function takeChirpstack(payload: unknown, context: PayloadContext, refusals: Refusals): FoundReadings {
  if (!isObject(payload) || !(isObject(payload.deviceInfo) || 'data' in payload || 'object' in payload)) {
    refusals.add('not_an_uplink', '$', 'an uplink of ChirpStack v4 has "deviceInfo", and "object" or "data"');
    return NOTHING;
  }
  const { time } = payload;
  const at = time === undefined || time === null ? undefined : takeReception(time, 'time', context, refusals);
  if (at === null) return NOTHING;
  return takeUplink(
    {
      at,
      decoded: payload.object,
      path: '$.object',
      data: payload.data,
      fPort: payload.fPort,
      radio: radioOf(payload.rxInfo),
    },
    context,
    refusals,
  );
}
