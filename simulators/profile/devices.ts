import { noise } from '../random.ts';
import type { Group, Profile, ProfileFault } from './schema.ts';

/** One simulated sensor. `index` counts all sensors of a profile. */
export interface Device {
  readonly id: string;
  readonly index: number;
  readonly group: Group;
  readonly seed: number;
  /** The faults of its group that happen to it. */
  readonly faults: readonly ProfileFault[];
}

/** One connection: a sensor's own, or a bridge's for all sensors of a group. */
export interface DeviceConnection {
  /** The id it signs in with. */
  readonly id: string;
  readonly role: 'sensor' | 'bridge';
  readonly group: Group;
  readonly devices: readonly Device[];
}

/** A share of a run that several processes divide among themselves: `index` counts from 0. */
export interface Shard {
  readonly index: number;
  readonly of: number;
}

/** Faults of a connection: behind a bridge, the whole group has them at once. */
const OF_LINKS: ReadonlySet<ProfileFault['fault']> = new Set(['flapping', 'thundering', 'offline']);

/** The connections of a profile and their sensors, the same at every call; with a shard, only its connections. */
export function linesOf(profile: Profile, shard: Shard = { index: 0, of: 1 }): DeviceConnection[] {
  let index = 0;
  const lines = profile.groups.flatMap((group): DeviceConnection[] => {
    const ids = group.ids ?? Array.from({ length: group.count ?? 0 }, (_, i) => `${group.name}-${i + 1}`);
    const devices = ids.map((id) => deviceOf(profile, group, id, index++));
    if (!isBridged(group))
      return devices.map((device) => ({ id: device.id, role: 'sensor', group, devices: [device] }));
    return [{ id: `${group.name}-bridge`, role: 'bridge', group, devices }];
  });
  return lines.filter((_, i) => i % shard.of === shard.index);
}

function deviceOf(profile: Profile, group: Group, id: string, index: number): Device {
  const seed = profile.seed + index * 17;
  const faults = group.faults.filter((fault, i) => {
    if (isBridged(group) && OF_LINKS.has(fault.fault)) return true;
    if (fault.fault === 'duplicates' || fault.fault === 'malformed' || fault.fault === 'thundering') return true;
    return noise(seed, 1_000 + i) < fault.share;
  });
  return { id, index, group, seed, faults };
}

function isBridged({ bridge, format }: Group): boolean {
  return bridge ?? (format === 'chirpstack' || format === 'ttn');
}
