import { LRUCache } from 'lru-cache';
import { CATALOGUE, MAKERS_NAMES } from './catalogue.ts';
import { type ClockPolicy, type ClockRule, clockRule } from './clock.ts';
import { MAX_GIVEN, metricName } from './formats/metric-name.ts';
import { meaningBy } from './profiles.ts';
import { MAX_METRICS_PER_SENSOR, RESERVED_METRICS } from './reading.ts';
import type { FarmReading, ReadingRegistry, SensorReading } from './reading-registry.ts';
import { type Conversion, conversion, groupUnit, UNCHANGED } from './units.ts';
import type { Via } from './via.ts';

/** How a value is read that one sensor sends under one name. */
export interface MetricRule {
  readonly metric: string;
  /** The unit that the metric is kept in; empty when it has none or it is unknown. */
  readonly unit: string;
  /** The conversion of a value that comes without a unit. */
  readonly usual: Conversion;
  /** The range that can be measured at all, in `unit`. */
  readonly plausible: readonly [least: number, most: number] | undefined;
  /** Of a metric without a unit: the one that a value has which comes without one; empty when that is unknown, too. */
  readonly usualUnit: string;
  /** Of a metric without a unit: in which one it came first. Nothing depends on it but a finding. */
  readonly heard?: { unit: string | undefined } | undefined;
}

/** Why a name cannot be used for a metric. */
export type NameProblem = 'bad_name' | 'reserved_name' | 'too_many_names' | 'too_many_of_farm';

/** How what one sensor sends is to be read. */
export interface SensorRules {
  readonly clock: ClockRule;
  /** The IANA zone of the farm, for times that name none. */
  readonly zone: string;
  /** The codec of the sensor's bytes, a file beside the registry. */
  readonly codec: string | undefined;
  /** The rule for values that the sensor calls `given`. */
  ruleOf(given: string): MetricRule | NameProblem;
  /** The number that the registry gives a text under the name `given`; undefined when it gives none. Uses up no name. */
  textOf(given: string, text: string): number | undefined;
}

/** Most sensors whose metrics are remembered. At the limit the sensor that has been silent longest is forgotten. */
const MOST_SENSORS = 50_000;
/** Most spellings remembered for one sensor: a sensor that keeps inventing names must not fill memory. */
const MOST_SPELLINGS = 256;

/**
 * The registry as decoders need it: how names, units and times of each sensor are read. The registry is edited in place:
 * a sensor's rules are made anew when its entry, its farm's, or any metric's is another one.
 */
export class Rulebook {
  private metrics: ReadingRegistry['metrics'] | undefined;
  private aliases: ReadonlyMap<string, string> = new Map();
  private texts: TextNumbers = new Map();
  private readonly sensors = new LRUCache<string, Rules>({ max: MOST_SENSORS });
  /** Of farms with a quota of them: the metrics that only they know. */
  private readonly names = new Map<string, Set<string>>();

  /**
   * The rules of a sensor of a farm, by the registry in force, for what came `via` a bridge or source. An unregistered
   * sensor has the farm's zone and clock, and defaults.
   */
  of(farm: string, sensor: string, registry: ReadingRegistry | undefined, via?: Via): SensorRules {
    if (registry?.metrics !== this.metrics) {
      this.metrics = registry?.metrics;
      this.aliases = aliasesOf(this.metrics);
      this.texts = textsOf(this.metrics);
    }
    // Two farms may have the same sensor id: each has its own limit on metrics.
    const key = `${farm}/${sensor}`;
    const known = this.sensors.get(key);
    const described = registry?.sensor(farm, sensor);
    const ofFarm = registry?.farms.get(farm);
    const isSame = known && known.sensor === described && known.farm === ofFarm && known.described === this.metrics;
    const shared = {
      described: this.metrics,
      aliases: this.aliases,
      texts: this.texts,
      names: this.namesOf(farm, ofFarm),
    };
    const rules = isSame ? known : new Rules(ofFarm, shared, described, known?.metrics);
    if (!isSame) this.sensors.set(key, rules);
    return via === undefined || registry === undefined ? rules : rules.through(clockOfVia(registry, farm, via));
  }

  private namesOf(farm: string, { quotas }: Partial<FarmReading> = {}): Set<string> | undefined {
    if (quotas?.names === undefined) {
      this.names.delete(farm);
      return undefined;
    }
    const names = this.names.get(farm) ?? new Set();
    this.names.set(farm, names);
    return names;
  }
}

/** The unit that a metric is kept in: the registry's, else the catalogue's; empty when it has none or it is unknown. */
export function unitOf(registry: Pick<ReadingRegistry, 'metrics'> | undefined, metric: string): string {
  return registry?.metrics.get(metric)?.unit ?? CATALOGUE.get(metric)?.unit ?? '';
}

/** Rules of a sensor that no registry describes. */
export function plainRules(zone = 'UTC'): SensorRules {
  return new Rules(
    { timezone: zone },
    { described: undefined, aliases: new Map(), texts: new Map(), names: undefined },
    undefined,
    undefined,
  );
}

/** What the rules of all sensors of a farm have in common. */
interface SharedRules {
  /** The metrics that the registry describes. */
  readonly described: ReadingRegistry['metrics'] | undefined;
  /** Their other names. */
  readonly aliases: ReadonlyMap<string, string>;
  readonly texts: TextNumbers;
  /** What its sensors have sent of metrics that neither the registry nor Loam knows; undefined for a farm without a quota of them. */
  readonly names: Set<string> | undefined;
}

class Rules implements SensorRules {
  readonly clock: ClockRule;
  readonly zone: string;
  readonly codec: string | undefined;
  readonly farm: FarmReading | undefined;
  /** Every metric that the sensor has sent, at most `MAX_METRICS_PER_SENSOR`. */
  readonly metrics: Set<string>;
  readonly described: ReadingRegistry['metrics'] | undefined;
  readonly sensor: SensorReading | undefined;
  private readonly shared: SharedRules;
  private readonly spellings = new Map<string, MetricRule | NameProblem>();
  /** By metric, of those without a unit. */
  private readonly heard = new Map<string, { unit: string | undefined }>();
  /** The rules for what came through the bridge or source with this policy: nearly always the same. */
  private viaLast: { readonly policy: ClockPolicy; readonly rules: SensorRules } | undefined;

  constructor(
    farm: FarmReading | undefined,
    shared: SharedRules,
    sensor: SensorReading | undefined,
    metrics: Set<string> | undefined,
  ) {
    this.shared = shared;
    this.described = shared.described;
    this.sensor = sensor;
    this.farm = farm;
    this.clock = this.clockWith(undefined);
    this.zone = farm?.timezone ?? 'UTC';
    this.codec = sensor?.codec;
    this.metrics = metrics ?? new Set();
  }

  /** These rules for what came through a bridge or source that has this clock policy. */
  through(policy: ClockPolicy | undefined): SensorRules {
    if (policy === undefined || this.sensor?.clock !== undefined) return this;
    if (this.viaLast?.policy !== policy) {
      const { zone, codec } = this;
      const ruleOf = (given: string) => this.ruleOf(given);
      const textOf = (given: string, text: string) => this.textOf(given, text);
      this.viaLast = { policy, rules: { clock: this.clockWith(policy), zone, codec, ruleOf, textOf } };
    }
    return this.viaLast.rules;
  }

  ruleOf(given: string): MetricRule | NameProblem {
    // To look a text up is to read the whole of it.
    if (given.length > MAX_GIVEN) return 'bad_name';
    const known = this.spellings.get(given);
    if (known !== undefined) return known;
    const rule = this.find(given);
    if (this.spellings.size < MOST_SPELLINGS) this.spellings.set(given, rule);
    return rule;
  }

  textOf(given: string, text: string): number | undefined {
    const { texts } = this.shared;
    if (texts.size === 0 || text.length > MAX_GIVEN) return undefined;
    const name = metricName(given);
    return name === undefined ? undefined : texts.get(this.metricOf(name).metric)?.get(spelt(text));
  }

  private clockWith(via: ClockPolicy | undefined): ClockRule {
    const { sensor, farm } = this;
    return clockRule({ own: sensor?.clock, via, farm: farm?.clock, ownFloor: sensor?.clockFloor });
  }

  private find(given: string): MetricRule | NameProblem {
    const name = metricName(given);
    if (name === undefined) return 'bad_name';
    const { metric, sent } = this.metricOf(name);
    if (RESERVED_METRICS.has(metric)) return 'reserved_name';
    if (!this.metrics.has(metric)) {
      if (this.metrics.size >= MAX_METRICS_PER_SENSOR) return 'too_many_names';
      if (!this.farmMayHave(metric)) return 'too_many_of_farm';
      this.metrics.add(metric);
    }
    return this.ruleFor(metric, own(this.sensor?.units, metric) ?? sent);
  }

  /** Counts a metric against the farm's quota, where it has one. */
  private farmMayHave(metric: string): boolean {
    const { names, described } = this.shared;
    if (names === undefined || names.has(metric) || described?.has(metric) || CATALOGUE.has(metric)) return true;
    if (names.size >= (this.farm?.quotas?.names ?? 0)) return false;
    names.add(metric);
    return true;
  }

  /**
   * The metric that a folded name means: the sensor's own aliases first, then its profiles, then the registry's metrics
   * and their aliases, then what Loam knows by itself.
   */
  private metricOf(name: string): { metric: string; sent?: string | undefined } {
    const ownAlias = own(this.sensor?.aliases, name);
    if (ownAlias !== undefined) return { metric: ownAlias };
    const { profile } = this.sensor ?? {};
    const meant = profile === undefined ? undefined : meaningBy(profile, name);
    if (meant) return { metric: meant.metric, sent: meant.unit };
    if (this.described?.has(name)) return { metric: name };
    const alias = this.shared.aliases.get(name);
    if (alias !== undefined) return { metric: alias };
    if (CATALOGUE.has(name)) return { metric: name };
    const makers = MAKERS_NAMES.get(name);
    return makers ? { metric: makers.metric, sent: makers.unit } : { metric: name };
  }

  private ruleFor(metric: string, sent: string | undefined): MetricRule {
    const described = this.described?.get(metric);
    const known = CATALOGUE.get(metric);
    const unit = described?.unit ?? known?.unit ?? '';
    const plausible = described?.plausible ?? plausibleIn(unit, known);
    const usualUnit = unit === '' && sent !== undefined ? (groupUnit(sent) ?? sent) : unit;
    const usual = sent === undefined ? UNCHANGED : (conversion(sent, usualUnit) ?? UNCHANGED);
    return { metric, unit, usual, plausible, usualUnit, heard: unit === '' ? this.heardOf(metric) : undefined };
  }

  /** One for all names of a metric. There are no more of them than the sensor may have metrics. */
  private heardOf(metric: string): { unit: string | undefined } {
    const heard = this.heard.get(metric) ?? { unit: undefined };
    this.heard.set(metric, heard);
    return heard;
  }
}

function clockOfVia(registry: ReadingRegistry, farm: string, { kind, id }: Via): ClockPolicy | undefined {
  return kind === 'bridge' ? registry.sensor(farm, id)?.clock : registry.sources.get(id)?.clock;
}

/** What `record` itself has for `key`: a metric may have a name that every object inherits, such as `constructor`. */
function own(record: Readonly<Record<string, string>> | undefined, key: string): string | undefined {
  return record !== undefined && Object.hasOwn(record, key) ? record[key] : undefined;
}

function plausibleIn(
  unit: string,
  known: { readonly unit: string; readonly plausible: readonly [number, number] } | undefined,
): readonly [number, number] | undefined {
  if (!known) return undefined;
  const change = conversion(known.unit, unit);
  // The registry keeps the metric in a unit of another kind, where the catalogue's range means nothing.
  if (!change) return undefined;
  const [a, b] = known.plausible.map((edge) => edge * change.factor + change.offset);
  return a === undefined || b === undefined ? undefined : [Math.min(a, b), Math.max(a, b)];
}

/** By metric and text, its number. */
type TextNumbers = ReadonlyMap<string, ReadonlyMap<string, number>>;

function textsOf(metrics: ReadingRegistry['metrics'] | undefined): TextNumbers {
  const all = [...(metrics?.values() ?? [])];
  const numbers = (texts: Readonly<Record<string, number>>) =>
    new Map(Object.entries(texts).map(([text, number]) => [spelt(text), number] as const));
  return new Map(all.flatMap(({ id, texts }) => (texts === undefined ? [] : [[id, numbers(texts)] as const])));
}

function spelt(text: string): string {
  return text.trim().toLowerCase();
}

function aliasesOf(metrics: ReadingRegistry['metrics'] | undefined): ReadonlyMap<string, string> {
  const all = [...(metrics?.values() ?? [])];
  return new Map(all.flatMap(({ id, aliases = [] }) => aliases.map((alias) => [alias, id] as const)));
}
