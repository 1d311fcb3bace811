import { METRIC_NAME } from '../reading.ts';

/** Longer names cannot become a metric's: they are neither folded nor looked up. */
export const MAX_GIVEN = 256;

/**
 * The metric that a sensor means by `given`, or undefined when no metric can have that name.
 *
 * A name that is already one stays as it is. In any other, capitals begin a word (`soilMoisture` → `soil_moisture`,
 * `CO2Level` → `co2_level`) unless only one small letter is before them (`pH` → `ph`, `kPa` → `kpa`), accents are dropped,
 * and runs of anything but a-z and 0-9 become one `_`, or none at either end (`Temp. (°C)` → `temp_c`).
 */
export function metricName(given: string): string | undefined {
  if (given.length > MAX_GIVEN) return undefined;
  if (METRIC_NAME.test(given)) return given;
  const folded = given
    .normalize('NFKD')
    .replace(/\p{M}+/gu, '')
    .replace(/(?<=[a-z][a-z0-9])(?=[A-Z])|(?<=[A-Z0-9])(?=[A-Z][a-z])/g, '_')
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '_')
    .replace(/^_|_$/g, '');
  return METRIC_NAME.test(folded) ? folded : undefined;
}
