/** Most metrics that a field's registry may name as its main ones. */
export const MOST_MAIN = 6;

/** What a grower looks for first, group by group: the first group of which something is measured counts. */
const FIRST: readonly (readonly string[])[] = [
  ['soil_moisture', 'soil_water_potential'],
  ['water_level'],
  ['air_temperature', 'air_humidity'],
  ['temperature', 'humidity'],
  ['soil_temperature'],
];
/** What tells how a device is, and nothing of the field. */
const OF_THE_DEVICE: ReadonlySet<string> = new Set(['battery', 'battery_level', 'rssi', 'snr']);

/**
 * The metrics that stand for a field, first the foremost: those that its registry names (`main`) and that its sensors
 * measure; when there are none, the first group of what growers look for; otherwise the first of `measured` that is not
 * of the device alone. Empty when there is no such. `measured` is in the order in which metrics are shown.
 */
export function mainMetrics(main: readonly string[], measured: readonly string[]): string[] {
  const among = (metrics: readonly string[]) => metrics.filter((metric) => measured.includes(metric));
  const groups = [main, ...FIRST].map(among);
  const found = groups.find((group) => group.length > 0);
  return found ?? measured.filter((metric) => !OF_THE_DEVICE.has(metric)).slice(0, 1);
}
