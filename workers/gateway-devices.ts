import { LRUCache } from 'lru-cache';

/** Most devices of one gateway, and most gateways that are remembered. */
const MOST_DEVICES = 1_000;
const MOST_GATEWAYS = 1_000;

/** The devices that gateways have named: one that keeps inventing names must not fill the store. */
export class GatewayDevices {
  private readonly byGateway = new LRUCache<string, Set<string>>({ max: MOST_GATEWAYS });

  /** Whether the gateway may publish for this device: it has before, or has named fewer than 1,000. */
  admits(farm: string, gateway: string, device: string): boolean {
    const key = `${farm}/${gateway}`;
    const devices = this.byGateway.get(key) ?? new Set();
    this.byGateway.set(key, devices);
    if (!devices.has(device) && devices.size >= MOST_DEVICES) return false;
    devices.add(device);
    return true;
  }
}
