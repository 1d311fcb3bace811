import type { Publish } from '../batch.ts';
import type { MappedForm } from '../mappings/kinds.ts';
import type { Mapped } from '../mappings/table.ts';
import { type FoundReadings, NOTHING, type PayloadContext, type Refusals } from './decoded.ts';
import { isObject, parseJson } from './json.ts';
import { Leaves } from './nested-values.ts';
import { componentsOf, statusOf, valueUnder } from './shelly.ts';
import { sensorsOf, stateOf } from './tasmota.ts';
import { takeThingsboard } from './thingsboard.ts';
import type { ToldValues } from './told-values.ts';
import { isOnOff, withNumbers } from './words.ts';
import { heardAt, measuredBy } from './zigbee2mqtt.ts';

/**
 * The readings in a publish to a mapped topic: one value, an object of values, what a codec makes of it, or the payload of
 * a system that Loam knows. An empty payload, by which a retained message is taken back, is passed over.
 */
export function takeMapped(
  { topic, payload }: Publish,
  { form, metric, codec }: Mapped,
  context: PayloadContext,
  refusals: Refusals,
): FoundReadings {
  if (form === 'nothing' || payload.length === 0) return PASSED_OVER;
  if (form === 'codec' && codec !== undefined) {
    const bytes = { bytes: payload, fPort: 0, at: undefined, radio: {}, mapped: { topic, codec } };
    return { drafts: [], skipped: 0, bytes };
  }
  if (form === 'value') return take({ values: { [metric ?? '']: plain(payload) } }, context, refusals);
  if (form === 'shelly_value') return take(valueUnder(metric ?? '', plain(payload)), context, refusals);
  const json = parseJson(payload, refusals);
  if (!json) return NOTHING;
  if (form === 'values') return takeThingsboard(json.value, context, refusals);
  if (isObject(json.value)) return take(toldBy(form, json.value, metric ?? '', context), context, refusals);
  refusals.add('not_an_object', '$', 'what the device tells is an object');
  return NOTHING;
}

const PASSED_OVER: FoundReadings = { drafts: [], skipped: 1 };

function toldBy(
  form: MappedForm,
  payload: Readonly<Record<string, unknown>>,
  name: string,
  { rules }: PayloadContext,
): ToldValues | undefined {
  switch (form) {
    case 'zigbee2mqtt':
      return { at: heardAt(payload, rules.zone), values: measuredBy(payload) };
    case 'tasmota_sensor':
      return { values: sensorsOf(payload) };
    case 'tasmota_state':
      return { values: stateOf(payload) };
    case 'shelly_status':
      return { values: componentsOf({ [name]: payload }) };
    case 'shelly_rpc':
      return statusOf(payload);
    default:
      return undefined;
  }
}

function take(told: ToldValues | undefined, { rules }: PayloadContext, refusals: Refusals): FoundReadings {
  if (!told) return PASSED_OVER;
  const leaves = new Leaves(rules, refusals, '$');
  leaves.takeAll(told.values, '', '$');
  const { result, skipped } = leaves;
  // What holds nothing but the device's own affairs is counted once.
  if (!result) return { drafts: [], skipped: refusals.none ? Math.max(1, skipped) : skipped };
  return { drafts: [{ at: told.at, path: '$', values: result }], skipped };
}

const utf8 = new TextDecoder();

/** A payload that is one value: as JSON, or as the bare text. */
function plain(payload: Uint8Array): unknown {
  const text = utf8.decode(payload).trim();
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? withNumbers(value) : value;
  } catch {
    return isOnOff(text) ?? text;
  }
}
