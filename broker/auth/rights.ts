import type { Change, RegistryView } from '../../telemetry/registry/registry.ts';
import { UNASSIGNED } from '../../telemetry/registry/things.ts';
import {
  commandsTopic,
  parsePublishTopic,
  parseTelemetryTopic,
  type TelemetryTopic,
  telemetryTopic,
} from '../../telemetry/topic.ts';
import type { Identity } from './identity.ts';

/** Why a publish was refused. Counters and dead letters use these words, so they must not change. */
export type RefusedReason = 'not_authorised' | 'too_many_sensors' | 'too_large';

/** Where a permitted publish belongs, or why it is refused. */
export type PublishVerdict =
  | { readonly may: true; readonly farm: string; readonly field: string; readonly sensor: string }
  | { readonly may: false; readonly reason: RefusedReason };

/** Characters of a topic. A longer one belongs to no sensor, and no batch could carry it; a dead letter keeps this much of it. */
export const MOST_TOPIC = 1024;
/** Where a Mosquitto that is a bridge says whether it is connected: by a will, and by a publish at each begin. */
const BRIDGE_NOTICES = '$SYS/broker/connection/';
const NOT_AUTHORISED: PublishVerdict = { may: false, reason: 'not_authorised' };
const TOO_MANY_SENSORS: PublishVerdict = { may: false, reason: 'too_many_sensors' };

/**
 * What an identity may do. A sensor publishes its own telemetry, on Loam's topic or on a topic of another system, and
 * subscribes to its own commands. A bridge does so for every id under its own farm, whatever other farms have; of ids that
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
    const { farm, sensor } = place;
    if (identity.role === 'sensor' && sensor !== identity.sensor) return NOT_AUTHORISED;
    const known = this.registry.current().sensor(farm, sensor);
    if (!known && !this.admitUnregistered(farm, sensor)) return TOO_MANY_SENSORS;
    return { may: true, farm, field: known?.field ?? UNASSIGNED, sensor };
  }

  /** Asked for a subscription, and again before a command is sent: the rights may have changed since. */
  subscribe(identity: Identity, topic: string): boolean {
    if (identity.role === 'sensor') return topic === commandsTopic(identity.farm, identity.sensor);
    const prefix = `farms/${identity.farm}/sensors/`;
    const suffix = '/commands';
    if (!topic.startsWith(prefix) || !topic.endsWith(suffix)) return false;
    const sensor = topic.slice(prefix.length, -suffix.length);
    if (sensor === '+') return true;
    return parseTelemetryTopic(telemetryTopic(identity.farm, sensor)) !== undefined;
  }

  /** Forgets unregistered sensors that are registered now, and farms that are gone. */
  registryChanged(changes: readonly Change[]): void {
    for (const change of changes) {
      if (change.kind === 'farm' && !change.after) this.unregistered.delete(change.id);
      if (change.kind === 'sensor' && change.after) this.unregistered.get(change.after.farm)?.delete(change.after.id);
    }
  }

  /** The farm and sensor that a topic belongs to. A part that the topic does not name is the client's own. */
  private placeOf(identity: Identity, topic: string): TelemetryTopic | undefined {
    const { farm, sensor } = identity;
    if (topic === telemetryTopic(farm, sensor)) return identity;
    const named = parsePublishTopic(topic);
    return named && { farm: named.farm ?? farm, sensor: named.sensor ?? sensor };
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

/** Whether the topic is one where a Mosquitto says that it is connected. That is acknowledged and dropped: Loam sees it itself. */
export function isBridgeNotice(topic: string): boolean {
  return topic.startsWith(BRIDGE_NOTICES);
}
