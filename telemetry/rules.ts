import { LRUCache } from 'lru-cache';
import { CATALOGUE, MAKERS_NAMES } from './catalogue.ts';
import type { Clock } from './clock.ts';
import { metricName } from './formats/metric-name.ts';
import { MAX_METRICS_PER_SENSOR, RESERVED_METRICS } from './reading.ts';
import type { Registry, Sensor } from './registry.ts';
import { type Conversion, conversion, UNCHANGED } from './units.ts';

/** What becomes of a value under one name of one sensor. */
export interface MetricRule {
  readonly metric: string;
  /** The unit that the metric is kept in; empty when it has none or nobody knows. */
  readonly unit: string;
  /** What is done to a value that comes without a unit. */
  readonly usual: Conversion;
  /** What can be measured at all, in `unit`. */
  readonly plausible: readonly [least: number, most: number] | undefined;
}

/** Why a name is none. */
export type NameProblem = 'bad_name' | 'reserved_name' | 'too_many_names';

/** How what one sensor sends is to be read. */
export interface SensorRules {
  readonly clock: Clock;
  /** The IANA zone of the farm, for times that name none. */
  readonly zone: string;
  /** The codec of the sensor's bytes, a file beside the registry. */
  readonly codec: string | undefined;
  /** The rule for values that the sensor calls `given`. */
  ruleOf(given: string): MetricRule | NameProblem;
}

/** Sensors whose names are remembered. One more forgets the one that has been silent longest. */
const MOST_SENSORS = 50_000;
/** Spellings remembered of one sensor: a sensor that keeps inventing names must not fill memory. */
const MOST_SPELLINGS = 256;

/** The registry as decoders need it: how names, units and times of each sensor are read. */
export class Rulebook {
  private registry: Registry | undefined;
  private aliases: ReadonlyMap<string, string> = new Map();
  private readonly sensors = new LRUCache<string, Rules>({ max: MOST_SENSORS });

  /** The rules of a sensor of a farm, by the registry in force. An unregistered sensor has rules too: the farm's zone, and no wishes. */
  of(farm: string, sensor: string, registry: Registry | undefined): SensorRules {
    if (registry !== this.registry) {
      this.registry = registry;
      this.aliases = aliasesOf(registry);
    }
    // Two farms may bring the same id: neither uses up the names of the other.
    const key = `${farm}/${sensor}`;
    const known = this.sensors.get(key);
    if (known && known.registry === registry) return known;
    const described = registry?.sensors.get(sensor);
    const own = described?.farm === farm ? described : undefined;
    const rules = new Rules(farm, registry, this.aliases, own, known?.metrics);
    this.sensors.set(key, rules);
    return rules;
  }
}

/** The unit that a metric is kept in: the registry's, else the catalogue's; empty when it has none or nobody knows. */
export function unitOf(registry: Registry | undefined, metric: string): string {
  return registry?.metrics.get(metric)?.unit ?? CATALOGUE.get(metric)?.unit ?? '';
}

/** Rules of a sensor that no registry describes. */
export function plainRules(zone = 'UTC'): SensorRules {
  const rules = new Rules('', undefined, new Map(), undefined, undefined);
  return zone === 'UTC' ? rules : { clock: 'device', zone, codec: undefined, ruleOf: (given) => rules.ruleOf(given) };
}

class Rules implements SensorRules {
  readonly registry: Registry | undefined;
  readonly clock: Clock;
  readonly zone: string;
  readonly codec: string | undefined;
  /** Every metric that the sensor has sent: the design allows 64. */
  readonly metrics: Set<string>;
  private readonly aliases: ReadonlyMap<string, string>;
  private readonly sensor: Sensor | undefined;
  private readonly spellings = new Map<string, MetricRule | NameProblem>();

  constructor(
    farm: string,
    registry: Registry | undefined,
    aliases: ReadonlyMap<string, string>,
    sensor: Sensor | undefined,
    metrics: Set<string> | undefined,
  ) {
    this.registry = registry;
    this.aliases = aliases;
    this.sensor = sensor;
    this.clock = sensor?.clock ?? 'device';
    this.zone = registry?.farms.get(farm)?.timezone ?? 'UTC';
    this.codec = sensor?.codec;
    this.metrics = metrics ?? new Set();
  }

  ruleOf(given: string): MetricRule | NameProblem {
    const known = this.spellings.get(given);
    if (known !== undefined) return known;
    const rule = this.find(given);
    if (this.spellings.size < MOST_SPELLINGS && given.length <= 256) this.spellings.set(given, rule);
    return rule;
  }

  private find(given: string): MetricRule | NameProblem {
    const name = metricName(given);
    if (name === undefined) return 'bad_name';
    const { metric, sent } = this.meant(name);
    if (RESERVED_METRICS.has(metric)) return 'reserved_name';
    if (!this.metrics.has(metric)) {
      if (this.metrics.size >= MAX_METRICS_PER_SENSOR) return 'too_many_names';
      this.metrics.add(metric);
    }
    return this.ruleFor(metric, own(this.sensor?.units, metric) ?? sent);
  }

  /** The sensor's own aliases first, then the registry's metrics and their aliases, then what Loam knows by itself. */
  private meant(name: string): { metric: string; sent?: string | undefined } {
    const wished = own(this.sensor?.aliases, name);
    if (wished !== undefined) return { metric: wished };
    if (this.registry?.metrics.has(name)) return { metric: name };
    const alias = this.aliases.get(name);
    if (alias !== undefined) return { metric: alias };
    if (CATALOGUE.has(name)) return { metric: name };
    const makers = MAKERS_NAMES.get(name);
    return makers ? { metric: makers.metric, sent: makers.unit } : { metric: name };
  }

  private ruleFor(metric: string, sent: string | undefined): MetricRule {
    const described = this.registry?.metrics.get(metric);
    const known = CATALOGUE.get(metric);
    const unit = unitOf(this.registry, metric);
    const usual = sent === undefined ? UNCHANGED : (conversion(sent, unit) ?? UNCHANGED);
    return { metric, unit, usual, plausible: described?.plausible ?? plausibleIn(unit, known) };
  }
}

/** What `record` itself says of `key`: a metric may be named like something that every object has, such as `constructor`. */
function own(record: Readonly<Record<string, string>> | undefined, key: string): string | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}

function plausibleIn(
  unit: string,
  known: { readonly unit: string; readonly plausible: readonly [number, number] } | undefined,
): readonly [number, number] | undefined {
  if (!known) return undefined;
  const change = conversion(known.unit, unit);
  // Whoever keeps it in something else altogether knows what they do.
  if (!change) return undefined;
  const [a, b] = known.plausible.map((edge) => edge * change.factor + change.offset);
  return a === undefined || b === undefined ? undefined : [Math.min(a, b), Math.max(a, b)];
}

function aliasesOf(registry: Registry | undefined): ReadonlyMap<string, string> {
  const metrics = [...(registry?.metrics.values() ?? [])];
  return new Map(metrics.flatMap(({ id, aliases = [] }) => aliases.map((alias) => [alias, id] as const)));
}
