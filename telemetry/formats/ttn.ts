import { type FoundReadings, NOTHING, type PayloadContext, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { takeReception } from './times.ts';
import { radioOf, takeUplink } from './uplink.ts';

/**
 * The reading in an uplink of The Things Stack v3: `uplink_message.decoded_payload`, else the bytes of `frm_payload` for a codec.
 * It is dated by the network, which received it moments after it was sent.
 * https://www.thethingsindustries.com/docs/integrations/data-formats/#uplink-messages
 */
export function takeTtn(payload: unknown, context: PayloadContext, refusals: Refusals): FoundReadings {
  const message = isObject(payload) ? payload.uplink_message : undefined;
  if (!isObject(payload) || !isObject(message)) {
    refusals.add('not_an_uplink', '$', 'an uplink of The Things Stack has an "uplink_message"');
    return NOTHING;
  }
  const given = message.received_at ?? payload.received_at;
  const at = given === undefined ? undefined : takeReception(given, 'received_at', context, refusals);
  if (at === null) return NOTHING;
  const battery = isObject(message.last_battery_percentage) ? message.last_battery_percentage.value : undefined;
  const radio = radioOf(message.rx_metadata);
  return takeUplink(
    {
      at,
      decoded: message.decoded_payload,
      path: '$.uplink_message.decoded_payload',
      data: message.frm_payload,
      fPort: message.f_port,
      radio: typeof battery === 'number' && Number.isFinite(battery) ? { ...radio, battery_level: battery } : radio,
    },
    context,
    refusals,
  );
}
