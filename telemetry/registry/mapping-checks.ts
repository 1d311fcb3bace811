import { type Mapping, MOST_OF_FARM } from './mappings.ts';
import type { Change, Registry } from './registry.ts';
import type { Source } from './sources.ts';
import { type Sensor, wrongThing } from './things.ts';

/** The things that a mapping is checked against. */
type AroundMapping = Pick<Registry, 'get' | 'mappings'>;

/**
 * Throws RegistryInvalid when a farm would have too many mappings, or one would be about publishes of nobody, or about
 * what its publisher has no right to: a sensor that is no bridge speaks for itself alone.
 */
export function refuseMappings(known: AroundMapping, changes: readonly Change[]): void {
  const ofMappings = changes.flatMap((change) => (change.kind === 'mapping' ? [change] : []));
  if (ofMappings.length === 0) return;
  const more = new Map<string, number>();
  for (const { id, before, after } of ofMappings) {
    const farm = farmOf(id);
    more.set(farm, (more.get(farm) ?? 0) + (after ? 1 : 0) - (before ? 1 : 0));
  }
  const sensor = (id: string): Sensor | undefined => {
    const change = changes.find((one) => one.kind === 'sensor' && one.id === id);
    return change?.kind === 'sensor' ? change.after : known.get('sensor', id);
  };
  const source = (id: string): Source | undefined => {
    const change = changes.find((one) => one.kind === 'source' && one.id === id);
    return change?.kind === 'source' ? change.after : known.get('source', id);
  };
  for (const { id, before, after } of ofMappings) {
    if (!after) continue;
    const { farm } = after;
    const count = known.mappings.ofFarm(farm).length + (more.get(farm) ?? 0);
    if (!before && count > MOST_OF_FARM) throw wrongThing('mapping', id, [], `a farm has at most ${MOST_OF_FARM}`);
    const wrong = whyNoPublisher(after, sensor, source);
    if (wrong) throw wrongThing('mapping', id, ['from'], wrong);
  }
}

/** Why `from` of a mapping is wrong; undefined when it is not. */
function whyNoPublisher(
  { farm, from, sensor, sensors }: Mapping,
  sensorOf: (id: string) => Sensor | undefined,
  sourceOf: (id: string) => Source | undefined,
): string | undefined {
  if (from === undefined || sourceOf(from)?.farm === farm) return undefined;
  const publisher = sensorOf(`${farm}/${from}`);
  if (!publisher) return `farm "${farm}" has no sensor, bridge or source "${from}"`;
  if (publisher.role === 'bridge') return undefined;
  const others = [sensor, ...Object.values(sensors ?? {})].filter((one) => one !== undefined && one !== from);
  return others.length === 0 ? undefined : `"${from}" is no bridge: it has no right to publish as "${others[0]}"`;
}

function farmOf(id: string): string {
  return id.slice(0, id.indexOf('/'));
}
