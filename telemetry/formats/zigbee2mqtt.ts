import { readTimes } from '../clock.ts';
import { withNumbers } from './words.ts';

/** What a payload says of the device and not of what it measures. */
const NOT_MEASURED = ['last_seen', 'elapsed', 'update', 'update_available', 'device', 'action'] as const;

/** When Zigbee2MQTT heard the device, Unix ms, if it is set to say so: it sends what it knows again when it starts. */
export function heardAt({ last_seen: seen }: Readonly<Record<string, unknown>>, zone: string): number | undefined {
  const at = readTimes(seen, zone);
  return typeof at === 'object' ? at.second : at;
}

/**
 * What a device of Zigbee2MQTT measures. `battery` is in %, and the voltage of a device with a battery in mV; without one
 * it is that of the mains. https://www.zigbee2mqtt.io/guide/usage/exposes.html
 */
export function measuredBy(payload: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const values = withNumbers(payload);
  for (const key of NOT_MEASURED) delete values[key];
  const { battery, voltage } = values;
  if (typeof battery !== 'number') return values;
  delete values.voltage;
  delete values.battery;
  const volts = typeof voltage === 'number' ? { battery: { value: voltage, unit: 'mV' } } : {};
  return { ...values, battery_level: { value: battery, unit: '%' }, ...volts };
}
