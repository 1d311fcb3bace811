import type { Reading } from '../reading.ts';
import { child, type FoundReadings, kind, NOTHING, type PayloadContext, quote, type Refusals } from './decoded.ts';
import { isObject } from './json.ts';
import { takeThingsboard } from './thingsboard.ts';
import { settleTimes } from './times.ts';

/** Most devices in one payload. */
const MOST_DEVICES = 1_000;

/**
 * The readings in what a gateway of ThingsBoard's publishes for the devices behind it, each under its name, in the form of
 * the device API: `{"Device A": [{"ts", "values"}], "Device B": {"temperature": 42}}`.
 * https://thingsboard.io/docs/reference/gateway-mqtt-api/#telemetry-upload-api
 */
export function takeGateway(payload: unknown, { deviceOf }: PayloadContext, refusals: Refusals): FoundReadings {
  if (!isObject(payload)) {
    refusals.add('not_an_object', '$', `a gateway’s telemetry is an object of devices, not ${kind(payload)}`);
    return NOTHING;
  }
  const ofOthers: Reading[] = [];
  let skipped = 0;
  const devices = Object.keys(payload);
  if (devices.length > MOST_DEVICES) {
    const explanation = `${devices.length - MOST_DEVICES} devices too many: ${MOST_DEVICES} are taken`;
    refusals.add('too_many_readings', '$', explanation);
  }
  for (const name of devices.slice(0, MOST_DEVICES)) {
    const device = deviceOf?.(name) ?? 'no_sensor';
    if (typeof device === 'string') refusals.add(device, child('$', name), PROBLEMS[device](quote(name)));
    else {
      const found = takeThingsboard(payload[name], device, refusals);
      skipped += found.skipped;
      ofOthers.push(...settleTimes(found.drafts, device, refusals));
    }
  }
  return { drafts: [], skipped, ofOthers };
}

const PROBLEMS = {
  no_sensor: (name: string) => `no sensor’s id can be made of the name ${name}`,
  too_many_sensors: (name: string) => `${name} would be one unregistered sensor too many of the farm`,
} as const;
