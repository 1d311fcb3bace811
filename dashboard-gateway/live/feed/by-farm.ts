import type { Reading } from '../../../telemetry/reading.ts';

/** Readings of several farms, each farm's in their order. */
export function byFarm(readings: readonly Reading[]): Map<string, Reading[]> {
  const found = new Map<string, Reading[]>();
  for (const reading of readings) {
    const ofFarm = found.get(reading.farm);
    if (ofFarm) ofFarm.push(reading);
    else found.set(reading.farm, [reading]);
  }
  return found;
}
