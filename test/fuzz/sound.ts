import { type Decoded, MAX_REFUSALS, REASONS } from '../../telemetry/formats/decoded.ts';
import { MAX_READINGS } from '../../telemetry/formats/native.ts';
import { isInstant } from '../../telemetry/instant.ts';
import {
  MAX_METRICS_PER_READING,
  MAX_TS,
  METRIC_NAME,
  MIN_TS,
  RESERVED_METRICS,
  type Reading,
} from '../../telemetry/reading.ts';

/** Values that a network server adds to those of a reading: `rssi`, `snr`, and the battery's. */
const RADIO = 3;
const reasons: ReadonlySet<string> = new Set(REASONS);

/** What of a decoded payload must not be, whatever the payload was; empty when all is as it should be. */
export function flawsOf(
  { readings, refused, skipped, bytes }: Decoded,
  from: Pick<Reading, 'farm' | 'sensor' | 'received'>,
): string[] {
  const flaws: string[] = [];
  // What was passed over is counted.
  if (readings.length + refused.length + skipped + (bytes ? 1 : 0) === 0) flaws.push('silence');
  if (readings.length > MAX_READINGS) flaws.push(`${readings.length} readings`);
  if (refused.length > MAX_REFUSALS + 1) flaws.push(`${refused.length} refusals`);
  if (!Number.isSafeInteger(skipped) || skipped < 0) flaws.push(`${skipped} skipped`);
  for (const { reason, path, explanation } of refused) {
    if (!reasons.has(reason)) flaws.push(`the reason ${reason}`);
    if (explanation === '' || path === '') flaws.push(`${reason} without a word`);
    if (path.length + explanation.length > 1_500) flaws.push(`${reason} with too many words`);
    if (/\p{Cs}/u.test(path + explanation)) flaws.push(`${reason} with half a character`);
  }
  for (const reading of readings) flaws.push(...flawsOfReading(reading, from));
  return flaws;
}

function flawsOfReading(reading: Reading, from: Pick<Reading, 'farm' | 'sensor' | 'received'>): string[] {
  const { farm, sensor, ts, received, deviceTs, values } = reading;
  const flaws: string[] = [];
  if (farm !== from.farm || sensor !== from.sensor || received !== from.received) flaws.push('the reading of another');
  if (!(isInstant(ts) && ts >= MIN_TS && ts < MAX_TS)) flaws.push(`the time ${ts}`);
  if (deviceTs !== undefined && !Number.isFinite(deviceTs)) flaws.push(`the device's time ${deviceTs}`);
  const entries = Object.entries(values);
  if (entries.length === 0 || entries.length > MAX_METRICS_PER_READING + RADIO) flaws.push(`${entries.length} values`);
  for (const [name, value] of entries) {
    if (!METRIC_NAME.test(name) || RESERVED_METRICS.has(name)) flaws.push(`the name ${name}`);
    if (!Number.isFinite(value)) flaws.push(`${name}: ${value}`);
  }
  return flaws;
}
