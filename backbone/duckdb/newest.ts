import { isOfNow } from '../../telemetry/clock.ts';
import type { LatestValue } from '../ports/store.ts';

/**
 * The newest value of every metric of every sensor, kept in memory so that asking for it does not read years of data.
 * Its size grows with sensors × metrics. Of a value of a time to come any other is newer. `now`: Unix ms.
 */
export class NewestValues {
  private readonly farms = new Map<string, Map<string, Map<string, LatestValue>>>();

  /** Takes a value that was just written: it counts unless a newer one is known. */
  written(farm: string, value: LatestValue, now: number): void {
    const metrics = this.metricsOf(farm, value.sensor);
    const known = metrics.get(value.metric);
    if (known === undefined || value.ts === known.ts || isNewer(value, known, now)) metrics.set(value.metric, value);
  }

  /** Takes a value read from the file. A known value of the same time was written later, and stays. */
  found(farm: string, value: LatestValue, now: number): void {
    const metrics = this.metricsOf(farm, value.sensor);
    const known = metrics.get(value.metric);
    if (known === undefined || isNewer(value, known, now)) metrics.set(value.metric, value);
  }

  of(farm: string): LatestValue[] {
    return [...(this.farms.get(farm)?.values() ?? [])].flatMap((metrics) => [...metrics.values()]);
  }

  private metricsOf(farm: string, sensor: string): Map<string, LatestValue> {
    return getOrMake(getOrMake(this.farms, farm), sensor);
  }
}

function isNewer({ ts }: LatestValue, known: LatestValue, now: number): boolean {
  const counts = isOfNow(ts, now);
  return counts === isOfNow(known.ts, now) ? ts > known.ts : counts;
}

function getOrMake<V>(map: Map<string, Map<string, V>>, key: string): Map<string, V> {
  let inner = map.get(key);
  if (inner === undefined) {
    inner = new Map();
    map.set(key, inner);
  }
  return inner;
}
