/** What is measured in a unit of SenML's registry (RFC 8428, section 12.1), for records whose name does not say it. */
const METRICS: Readonly<Record<string, string>> = {
  Cel: 'temperature',
  K: 'temperature',
  '%RH': 'humidity',
  V: 'voltage',
  A: 'current',
  W: 'power',
  Pa: 'pressure',
  lx: 'illuminance',
  lat: 'latitude',
  lon: 'longitude',
  'm/s': 'speed',
  'S/m': 'ec',
  pH: 'ph',
  dBm: 'rssi',
  dBW: 'rssi',
  '%EL': 'battery_level',
  EL: 'battery_life',
  'W/m2': 'solar_radiation',
};

/** The metric that a SenML unit stands for by itself, or undefined. */
export function unitMetric(unit: string): string | undefined {
  return Object.hasOwn(METRICS, unit) ? METRICS[unit] : undefined;
}
