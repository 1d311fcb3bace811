import { isCommandFilter } from '../../telemetry/mappings/command-filters.ts';
import { isNotice, isSilent } from '../../telemetry/notices.ts';
import { type PublishPlace, placeOf } from '../../telemetry/publish-place.ts';
import type { Change, RegistryView } from '../../telemetry/registry/registry.ts';
import { UNASSIGNED } from '../../telemetry/registry/things.ts';
import { commandsTopic, parseTelemetryTopic, telemetryTopic } from '../../telemetry/topic.ts';
import type { Identity } from './identity.ts';

/** Why a publish was refused. Counters and dead letters use these words, so they must not change. */
export type RefusedReason = 'not_authorised' | 'too_many_sensors' | 'too_large';

/** Where a permitted publish belongs, or why it is refused. */
export type PublishVerdict =
  | { readonly may: true; readonly farm: string; readonly field: string; readonly sensor: string }
  | { readonly may: false; readonly reason: RefusedReason };

/** Characters of a topic. A longer one belongs to no sensor, and no batch could carry it; a dead letter keeps this much of it. */
export const MOST_TOPIC = 1024;
const NOT_AUTHORISED: PublishVerdict = { may: false, reason: 'not_authorised' };
const TOO_MANY_SENSORS: PublishVerdict = { may: false, reason: 'too_many_sensors' };

/**
 * What an identity may do. A sensor publishes its own telemetry, on Loam's topic, on a topic of another system, or where
 * a mapping of its farm says that a topic means it, and subscribes to its own commands. A bridge does so for every id under its own farm, whatever other farms have; of ids that
 * its farm did not register, up to a limit for each farm: the farm's quota, or the usual one.
 */
export class Rights {
  private readonly registry: RegistryView;
  private readonly maxUnregistered: number;
  private readonly unregistered = new Map<string, Set<string>>();

  constructor(registry: RegistryView, maxUnregistered: number) {
    this.registry = registry;
    this.maxUnregistered = maxUnregistered;
  }

  publish(identity: Identity, topic: string): PublishVerdict {
    if (topic.length > MOST_TOPIC) return NOT_AUTHORISED;
    const place = this.placeOf(identity, topic);
    if (!place || place.farm !== identity.farm) return NOT_AUTHORISED;
    const { farm, sensor = identity.sensor, isOfMany } = place;
    if (identity.role === 'sensor' && (sensor !== identity.sensor || isOfMany)) return NOT_AUTHORISED;
    const known = this.registry.current().sensor(farm, sensor);
    // Of a gateway's publish it is the gateway: what it names is known when the payload is read.
    if (!known && !isOfMany && !this.admitUnregistered(farm, sensor)) return TOO_MANY_SENSORS;
    return { may: true, farm, field: known?.field ?? UNASSIGNED, sensor };
  }

  /** Whether a publish or will of this client is no reading, and is to be acknowledged, dropped and counted. */
  passesOver({ farm, sensor }: Identity, topic: string): boolean {
    if (topic.length > MOST_TOPIC) return false;
    return isNotice(topic) || this.registry.current().mappings.find(farm, sensor, topic)?.form === 'nothing';
  }

  /**
   * Whether a will is dropped instead of refused: devices have one set for the broker that they had before, and a connection
   * is worth more. Not one for Loam's own topics or the broker's: that is no habit of a device.
   */
  mayDropWill(identity: Identity, topic: string): boolean {
    if (topic.startsWith('farms/') || topic.startsWith('$')) return false;
    return !this.publish(identity, topic).may;
  }

  /** Asked for a subscription, and again before a command is sent: the rights may have changed since. */
  subscribe(identity: Identity, topic: string): boolean {
    if (this.isSilent(identity, topic)) return true;
    if (identity.role === 'sensor') return topic === commandsTopic(identity.farm, identity.sensor);
    const prefix = `farms/${identity.farm}/sensors/`;
    const suffix = '/commands';
    if (!topic.startsWith(prefix) || !topic.endsWith(suffix)) return false;
    const sensor = topic.slice(prefix.length, -suffix.length);
    if (sensor === '+') return true;
    return parseTelemetryTopic(telemetryTopic(identity.farm, sensor)) !== undefined;
  }

  /** Whether the client listens there for commands of another system: that is granted, and nothing is ever sent there. */
  private isSilent({ farm, sensor }: Identity, topic: string): boolean {
    if (topic.length > MOST_TOPIC) return false;
    return isSilent(topic) || isCommandFilter(this.registry.current().mappings.ofFarm(farm), sensor, topic);
  }

  /** Forgets unregistered sensors that are registered now, and farms that are gone. */
  registryChanged(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind === 'farm' && !change.after) this.unregistered.delete(change.id);
      if (change.kind === 'sensor' && change.after) this.unregistered.get(change.after.farm)?.delete(change.after.id);
    }
  }

  private placeOf({ farm, sensor }: Identity, topic: string): PublishPlace | undefined {
    if (topic === telemetryTopic(farm, sensor)) return { farm, sensor, isOfMany: false };
    return placeOf(this.registry.current(), farm, sensor, topic);
  }

  private admitUnregistered(farm: string, sensor: string): boolean {
    const ids = this.unregistered.get(farm) ?? new Set<string>();
    this.unregistered.set(farm, ids);
    if (ids.has(sensor)) return true;
    const { quotas } = this.registry.current().farms.get(farm) ?? {};
    if (ids.size >= (quotas?.unregistered ?? this.maxUnregistered)) return false;
    ids.add(sensor);
    return true;
  }
}
