import { isObject } from './json.ts';
import type { ToldValues } from './told-values.ts';
import { isOnOff, withNumbers, without } from './words.ts';

/** Of the first generation: topics that say nothing measured, or the same in another unit. */
const NOT_VALUES =
  /^(?:input_event_|longpush_|temperature_f|temperature_status|ext_temperatures|ext_humidities|sensor_act_reasons|sensor_error|info|announce|color_|white_)/;
/** Its sensors stand under a level of their own. */
const SENSOR = 'sensor_';
const BATTERY = 'sensor_battery';

/**
 * What a Shelly of the first generation tells under a topic such as `shellies/ID/sensor/temperature` or
 * `shellies/ID/relay/0`, here `sensor_temperature` and `relay_0`. Undefined: it is no measurement.
 * https://shelly-api-docs.shelly.cloud/gen1/#mqtt
 */
export function valueUnder(name: string, value: unknown): ToldValues | undefined {
  if (NOT_VALUES.test(name)) return undefined;
  const told = typeof value === 'string' ? (isOnOff(value) ?? value) : value;
  if (name === BATTERY) return { values: { battery_level: { value: told, unit: '%' } } };
  return { values: { [name.startsWith(SENSOR) ? name.slice(SENSOR.length) : name]: told } };
}

/** Methods that tell the state of components: what has changed, or, of a device that sleeps, all of it. */
const STATUS: ReadonlySet<unknown> = new Set(['NotifyStatus', 'NotifyFullStatus']);

/**
 * What a Shelly of a later generation notifies under `events/rpc`. Undefined: it is another message, such as an event.
 * https://shelly-api-docs.shelly.cloud/gen2/General/Notifications
 */
export function statusOf({ method, params }: Readonly<Record<string, unknown>>): ToldValues | undefined {
  if (!STATUS.has(method) || !isObject(params)) return undefined;
  const { ts, ...components } = params;
  // Without a network time it counts from 1970, or says nothing.
  const at = typeof ts === 'number' && ts > 1_000_000_000 ? Math.round(ts * 1000) : undefined;
  return { at, values: componentsOf(components) };
}

/** Components that are about the device itself. */
const OWN_AFFAIRS: ReadonlySet<string> = new Set([
  ...['sys', 'cloud', 'mqtt', 'ws', 'ble', 'bthome', 'eth', 'ui', 'knx', 'matter', 'wifi', 'script'],
]);
const NOT_MEASURED: ReadonlySet<string> = new Set(['id', 'by_minute', 'minute_ts', 'tF', 'source', 'errors', 'flags']);

/** The values of components, such as `switch:0`, `temperature:0` or `devicepower:0`. */
export function componentsOf(components: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const values: Record<string, unknown> = {};
  for (const [name, component] of Object.entries(components)) {
    if (!isObject(component)) continue;
    const [type = '', number = '0'] = name.split(':');
    const { rssi } = component;
    if (type === 'wifi' && typeof rssi === 'number') values.rssi = rssi;
    if (OWN_AFFAIRS.has(type)) continue;
    // Nearly every device has one sensor of a kind.
    const of = (metric: string) => (number === '0' ? metric : `${metric}_${number}`);
    const { tC, rh, lux, battery, voltage } = component;
    if (type === 'temperature') values[of('temperature')] = { value: tC, unit: '°C' };
    else if (type === 'humidity') values[of('humidity')] = { value: rh, unit: '%' };
    else if (type === 'illuminance') values[of('illuminance')] = { value: lux, unit: 'lx' };
    else if (type === 'voltmeter') values[of('voltage')] = { value: voltage, unit: 'V' };
    else if (type === 'devicepower') {
      const { percent, V: volts } = isObject(battery) ? battery : {};
      values[of('battery_level')] = { value: percent, unit: '%' };
      values[of('battery')] = { value: volts, unit: 'V' };
    } else values[`${type}_${number}`] = inCelsius(withNumbers(without(component, NOT_MEASURED)));
  }
  return values;
}

/** A component's own temperature, which it tells in both units. */
function inCelsius(component: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { temperature } = component;
  if (!isObject(temperature)) return component;
  return { ...component, temperature: { value: temperature.tC, unit: '°C' } };
}
