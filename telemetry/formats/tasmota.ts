import { isObject } from './json.ts';
import { withNumbers, without } from './words.ts';

/** The units that a Tasmota tells for a whole message, and the values that they are of. */
const UNITS: Readonly<
  Record<string, { readonly of: ReadonlySet<string>; readonly spelt: Readonly<Record<string, string>> }>
> = {
  TempUnit: { of: new Set(['Temperature', 'DewPoint']), spelt: { C: '°C', F: '°F' } },
  PressureUnit: { of: new Set(['Pressure', 'SeaPressure']), spelt: {} },
  SpeedUnit: { of: new Set(['WindSpeed', 'Speed', 'Gust']), spelt: {} },
};
/** What is no measurement, wherever it stands: serial numbers and times. */
const NOT_MEASURED: ReadonlySet<string> = new Set(['Time', 'Id', 'TotalStartTime', ...Object.keys(UNITS)]);
/** What a state tells of the device itself. */
const OWN_AFFAIRS: ReadonlySet<string> = new Set([
  ...NOT_MEASURED,
  'Uptime',
  'UptimeSec',
  'Heap',
  'SleepMode',
  'Sleep',
  'LoadAvg',
  'MqttCount',
  'Berry',
  'Hostname',
  'IPAddress',
  'Wifi',
  'Ethernet',
]);

/**
 * What the sensors at a Tasmota measure (`tele/…/SENSOR`), each value under its sensor's name, in the units that the message
 * tells. Its `Time` is not used: it names no zone, and what is told is measured now.
 */
export function sensorsOf(payload: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const units = new Map<string, string>();
  for (const [key, { of, spelt }] of Object.entries(UNITS)) {
    const unit = payload[key];
    if (typeof unit === 'string') for (const name of of) units.set(name, spelt[unit] ?? unit);
  }
  return Object.fromEntries(
    Object.entries(withNumbers(without(withNumbers(payload), NOT_MEASURED))).map(([name, value]) => [
      name,
      isObject(value) ? inUnits(value, units) : value,
    ]),
  );
}

function inUnits(values: Readonly<Record<string, unknown>>, units: ReadonlyMap<string, string>): object {
  return Object.fromEntries(
    Object.entries(withNumbers(values)).map(([name, value]) => {
      const unit = typeof value === 'number' ? units.get(name) : undefined;
      return [name, unit === undefined ? value : { value, unit }];
    }),
  );
}

/** What a Tasmota tells of its state (`tele/…/STATE`): relays, and how well it is heard. */
export function stateOf(payload: Readonly<Record<string, unknown>>): Readonly<Record<string, unknown>> {
  const { Wifi: wifi } = payload;
  const signal = isObject(wifi) && typeof wifi.Signal === 'number' ? { rssi: wifi.Signal } : {};
  return { ...without(withNumbers(payload), OWN_AFFAIRS), ...signal };
}
