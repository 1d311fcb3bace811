import { LRUCache } from 'lru-cache';
import type { Store } from '../../backbone/ports/store.ts';
import type { LiveEntry } from '../../telemetry/batch.ts';
import type { RegistryView } from '../../telemetry/registry.ts';
import { inTime } from '../http/in-time.ts';
import type { WritesListener } from '../live/feed/feed.ts';

/** Sensors remembered from the live log: far more than can be announced and not stored yet. */
const MOST_SENSORS = 50_000;
/** Farms remembered of one sensor. Two would be enough: of two farms, one is always another than the farm that asks. */
const MOST_FARMS = 8;

export interface BringersParts {
  readonly store: Store;
  readonly registry: RegistryView;
  /** The farms that have dead letters of these sensors. A device whose bytes cannot be decoded yet is known only by them. */
  readonly inLetters: (sensors: ReadonlySet<string>) => Iterable<{ readonly farm: string; readonly sensor: string }>;
}

/**
 * Tells which farms' bridges and sources bring a sensor that is not registered. An id belongs to one farm: if another
 * farm registered it, readings from the farm that brings it would no longer be taken. The store remembers the readings
 * for good. Readings that are not stored yet are remembered from the live log.
 */
export class Bringers implements WritesListener {
  private readonly parts: BringersParts;
  private readonly heard = new LRUCache<string, Set<string>>({ max: MOST_SENSORS });

  constructor(parts: BringersParts) {
    this.parts = parts;
  }

  begin(): void {}

  wrote({ readings }: LiveEntry): void {
    for (const { farm, sensor } of readings) {
      const farms = this.heard.get(sensor);
      if (farms === undefined) this.heard.set(sensor, new Set([farm]));
      else if (farms.size < MOST_FARMS) farms.add(farm);
    }
  }

  /**
   * Those of `sensors` that a farm other than `farm` brings, or has brought. Rejects with StoreUnavailable when the
   * store cannot tell.
   */
  async elsewhere(farm: string, sensors: readonly string[]): Promise<ReadonlySet<string>> {
    const stored = await inTime(this.parts.store.broughtBy(sensors));
    const { farms } = this.parts.registry.current();
    const found = new Set<string>();
    const take = (by: string, sensor: string) => {
      // Readings of a farm that no longer exists do not reserve an id.
      if (by !== farm && farms.has(by)) found.add(sensor);
    };
    for (const one of stored) take(one.farm, one.sensor);
    for (const one of this.parts.inLetters(new Set(sensors))) take(one.farm, one.sensor);
    for (const sensor of sensors) for (const by of this.heard.get(sensor) ?? []) take(by, sensor);
    return found;
  }
}
