import { LRUCache } from 'lru-cache';
import type { ReadingRegistry } from '../telemetry/reading-registry.ts';

/** Most devices of a farm that nobody registered, where its quotas say nothing, and most farms that are remembered. */
const MOST_DEVICES = 1_000;
const MOST_FARMS = 10_000;

/** The devices that gateways have named and nobody registered: a gateway that keeps inventing names must not fill the store. */
export class GatewayDevices {
  private readonly byFarm = new LRUCache<string, Set<string>>({ max: MOST_FARMS });

  /**
   * The id under which readings of a device are kept: the registry's where it is registered, also as an EUI in another
   * spelling. Undefined when it would be one unregistered id more than the farm may have.
   */
  idOf(registry: ReadingRegistry, farm: string, device: string): string | undefined {
    const registered = registry.registered(farm, device);
    const others = this.byFarm.get(farm) ?? new Set();
    this.byFarm.set(farm, others);
    if (registered !== undefined) {
      others.delete(device);
      return registered;
    }
    const most = registry.farms.get(farm)?.quotas?.unregistered ?? MOST_DEVICES;
    if (!others.has(device) && others.size >= most) return undefined;
    others.add(device);
    return device;
  }
}
