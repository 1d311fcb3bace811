import { LRUCache } from 'lru-cache';
import type { Store } from '../../backbone/ports/store.ts';
import type { LiveEntry } from '../../telemetry/batch.ts';
import type { RegistryView } from '../../telemetry/registry.ts';
import { inTime } from '../http/in-time.ts';
import type { WritesListener } from '../live/feed/feed.ts';

/** Sensors remembered of what was heard: far more than can be announced and not stored yet. */
const MOST_SENSORS = 50_000;
/** Farms remembered of one sensor. With two there is always one that is another than the farm that asks. */
const MOST_FARMS = 8;

export interface BringersParts {
  readonly store: Store;
  readonly registry: RegistryView;
  /** The farms that have dead letters of a sensor: a device whose bytes nobody can decode yet is known by nothing else. */
  readonly inLetters: (sensors: ReadonlySet<string>) => Iterable<{ readonly farm: string; readonly sensor: string }>;
}

/**
 * Which farms' bridges and sources bring a sensor that nobody registered. An id belongs to one farm: registered in another one it would keep
 * the farm that brings it from being heard. The store knows it for good; what it does not have yet was heard on the live log.
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

  /** Those of `sensors` that another farm than `farm` brings, or has brought. Rejects with StoreUnavailable: then nobody can tell. */
  async elsewhere(farm: string, sensors: readonly string[]): Promise<ReadonlySet<string>> {
    const stored = await inTime(this.parts.store.broughtBy(sensors));
    const { farms } = this.parts.registry.current();
    const found = new Set<string>();
    const take = (by: string, sensor: string) => {
      // What a farm has left that is no more keeps nobody from anything.
      if (by !== farm && farms.has(by)) found.add(sensor);
    };
    for (const one of stored) take(one.farm, one.sensor);
    for (const one of this.parts.inLetters(new Set(sensors))) take(one.farm, one.sensor);
    for (const sensor of sensors) for (const by of this.heard.get(sensor) ?? []) take(by, sensor);
    return found;
  }
}
