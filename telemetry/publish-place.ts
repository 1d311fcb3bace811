import type { Registry } from './registry/registry.ts';
import { parsePublishTopic } from './topic.ts';

/** Where a publish belongs, as far as its topic says. */
export interface PublishPlace {
  readonly farm: string;
  /** Undefined when the topic names none: it is who published it. */
  readonly sensor: string | undefined;
  /** Whether the payload names the sensors that it is about. */
  readonly isOfMany: boolean;
}

/**
 * Where a publish of `by`, a sensor, bridge or source of `farm`, belongs: by Loam's own topics, by those of systems that
 * it knows, or by a mapping of the farm. Undefined when nobody publishes readings there. An EUI in another spelling than the registry's
 * is that registered sensor.
 */
export function placeOf(registry: Registry, farm: string, by: string, topic: string): PublishPlace | undefined {
  const named = parsePublishTopic(topic);
  if (named) {
    const of = named.farm ?? farm;
    return { farm: of, sensor: spelt(registry, of, named.sensor), isOfMany: named.form === 'gateway' };
  }
  const mapped = registry.mappings.find(farm, by, topic);
  return mapped && { farm, sensor: spelt(registry, farm, mapped.sensor), isOfMany: false };
}

/** A sensor's id as the registry spells it. */
function spelt(registry: Registry, farm: string, id: string | undefined): string | undefined {
  return id === undefined ? undefined : (registry.registered(farm, id) ?? id);
}
