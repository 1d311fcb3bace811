import { LRUCache } from 'lru-cache';
import type { Mapping } from '../registry/mappings.ts';
import { parsePublishTopic } from '../topic.ts';
import { type MappedForm, patternsOfKind } from './kinds.ts';
import { readPattern, type TopicPattern, takenBy } from './pattern.ts';
import { sensorIdOf } from './sensor-name.ts';

/** What a mapping says of a publish. */
export interface Mapped {
  readonly form: MappedForm;
  /** The sensor that it is about; undefined for who published it. */
  readonly sensor: string | undefined;
  /** What the topic or the mapping calls the metric. */
  readonly metric: string | undefined;
  readonly codec: string | undefined;
}

/** Finds the mapping of a topic. */
export interface MappingFinder {
  /** What the most exact of the farm's mappings says of what `by`, a sensor, bridge or source, publishes to `topic`. */
  find(farm: string, by: string, topic: string): Mapped | undefined;
}

interface MappedRoute {
  readonly mapping: Mapping;
  readonly pattern: TopicPattern;
  readonly form: MappedForm;
}

/** Most topics of which it is remembered what they mean; clients publish to the same few again and again. */
const MOST_TOPICS = 4_000;

/** The mappings of all farms. */
export class MappingTable implements MappingFinder {
  private readonly byFarm = new Map<string, Map<string, Mapping>>();
  /** The routes of farms, from the most to the least exact, since their last change. */
  private readonly routes = new Map<string, readonly MappedRoute[]>();
  private readonly known = new LRUCache<string, { readonly mapped: Mapped | undefined }>({ max: MOST_TOPICS });

  /** The mapping FARM/ID. */
  get(id: string): Mapping | undefined {
    const at = id.indexOf('/');
    return this.byFarm.get(id.slice(0, at))?.get(id.slice(at + 1));
  }

  ofFarm(farm: string): readonly Mapping[] {
    return [...(this.byFarm.get(farm)?.values() ?? [])];
  }

  all(): readonly Mapping[] {
    return [...this.byFarm.keys()].flatMap((farm) => this.ofFarm(farm));
  }

  /** Puts a mapping in the place of FARM/ID; undefined takes it away. */
  set(id: string, mapping: Mapping | undefined): void {
    const at = id.indexOf('/');
    const farm = id.slice(0, at);
    const mappings = this.byFarm.get(farm) ?? new Map<string, Mapping>();
    if (mapping === undefined) mappings.delete(id.slice(at + 1));
    else mappings.set(id.slice(at + 1), mapping);
    if (mappings.size > 0) this.byFarm.set(farm, mappings);
    else this.byFarm.delete(farm);
    this.routes.delete(farm);
    this.known.clear();
  }

  find(farm: string, by: string, topic: string): Mapped | undefined {
    if (topic.startsWith('farms/') || topic.startsWith('$') || !this.byFarm.has(farm)) return undefined;
    const key = `${farm} ${by} ${topic}`;
    const known = this.known.get(key);
    if (known) return known.mapped;
    const mapped = parsePublishTopic(topic) ? undefined : this.look(farm, by, topic.split('/'));
    this.known.set(key, { mapped });
    return mapped;
  }

  private look(farm: string, by: string, topic: readonly string[]): Mapped | undefined {
    const routes = this.routes.get(farm) ?? routesOf(this.ofFarm(farm));
    this.routes.set(farm, routes);
    for (const route of routes) {
      const { mapping } = route;
      if (mapping.from !== undefined && mapping.from !== by) continue;
      const mapped = mappedBy(route, topic);
      if (mapped) return mapped;
    }
    return undefined;
  }
}

function mappedBy({ mapping, pattern, form }: MappedRoute, topic: readonly string[]): Mapped | undefined {
  const taken = takenBy(pattern, topic);
  if (!taken) return undefined;
  const { sensors, codec } = mapping;
  const name = taken.sensor;
  const renamed =
    name !== undefined && sensors !== undefined && Object.hasOwn(sensors, name) ? sensors[name] : undefined;
  const sensor = name === undefined ? mapping.sensor : (renamed ?? sensorIdOf(name));
  // Nothing of the name is left that could be an id.
  if (name !== undefined && sensor === undefined) return undefined;
  return { form, sensor, metric: taken.metric ?? taken.path ?? mapping.metric, codec };
}

function routesOf(mappings: readonly Mapping[]): MappedRoute[] {
  const routes = mappings.flatMap((mapping) =>
    patternsOf(mapping).map(([pattern, form]) => ({ mapping, pattern, form })),
  );
  const key = ({ pattern, mapping, form }: MappedRoute) => {
    // Of what is equally exact, a reading comes before what is passed over, and one’s own mapping before everybody’s.
    return `${pattern.order} ${form === 'nothing' ? 1 : 0}${mapping.from === undefined ? 1 : 0} ${mapping.id}`;
  };
  return routes.sort((a, b) => (key(a) < key(b) ? -1 : 1));
}

function patternsOf({ kind, topic, metric, codec }: Mapping): [TopicPattern, MappedForm][] {
  if (kind !== undefined) return patternsOfKind(kind, topic);
  const pattern = readPattern(topic ?? '');
  // The schema has refused such a one.
  if (typeof pattern === 'string') return [];
  const { holes } = pattern;
  const isOneValue = metric !== undefined || holes.has('metric') || holes.has('path');
  return [[pattern, codec !== undefined ? 'codec' : isOneValue ? 'value' : 'values']];
}
