import { hashPassword } from '../../core/secrets.ts';
import type { Reading } from '../../telemetry/reading.ts';

export const FARM = 'bench';
export const FIELDS = 50;
export const SENSORS = 1_000;

const BULK_SENSORS = 10_000;
export const USER = { user: 'viewer', password: 'a password for the benchmark' };

/** A farm of 1,000 sensors in 50 fields, and one user who may look at it. */
export async function registryText(): Promise<string> {
  const fields = Array.from({ length: FIELDS }, (_, i) => `  - { id: ${fieldOf(i)}, farm: ${FARM}, name: Field ${i} }`);
  const sensors = Array.from(
    { length: SENSORS },
    (_, i) => `  - { id: ${sensorOf(i)}, farm: ${FARM}, field: ${fieldOf(i)}, interval: 60 }`,
  );
  return [
    'farms:',
    `  - { id: ${FARM}, name: Bench, timezone: UTC }`,
    'fields:',
    ...fields,
    'sensors:',
    ...sensors,
    'users:',
    `  - { name: ${USER.user}, password: ${await hashPassword(USER.password)}, farms: { ${FARM}: viewer } }`,
    '',
  ].join('\n');
}

export function fieldOf(index: number): string {
  return `f${index % FIELDS}`;
}

function sensorOf(index: number): string {
  return `s${String(index).padStart(4, '0')}`;
}

/** The next `count` readings of the farm, whose sensors report one after another, as of now. */
export function readingsFrom(index: number, count: number): Reading[] {
  const now = Date.now();
  return Array.from({ length: count }, (_, i) => {
    const sensor = sensorOf((index + i) % SENSORS);
    return {
      farm: FARM,
      sensor,
      ts: now,
      received: now,
      values: { soil_moisture: Math.round(Math.random() * 4_000) / 100 },
    };
  });
}

/** Many readings of sensors that nobody registered, with long names: about a megabyte on the wire. */
export function bulk(): Reading[] {
  const now = Date.now();
  return Array.from({ length: BULK_SENSORS }, (_, i) => {
    const sensor = `bulk-sensor-with-a-long-name-that-fills-the-buffers-${i}`;
    return { farm: FARM, sensor, ts: now, received: now, values: { soil_moisture: i } };
  });
}
