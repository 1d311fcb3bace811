import { type MappingFinder, MappingTable } from './mappings/table.ts';
import { EuiIndex } from './registry/eui-index.ts';
import type { Mapping } from './registry/mappings.ts';
import type { Change, Registry } from './registry/registry.ts';
import type { Source } from './registry/sources.ts';
import type { Farm, Metric, RegistryCodec, Sensor } from './registry/things.ts';

/** What a farm's entry in the registry says about reading what its sensors send. */
export type FarmReading = Pick<Farm, 'timezone' | 'clock' | 'quotas'>;
/** What a metric's entry in the registry says about reading it. */
export type DescribedMetric = Pick<Metric, 'id' | 'unit' | 'aliases' | 'plausible' | 'texts'>;
/** What a sensor's entry in the registry says about reading its payloads. */
export type SensorReading = Pick<Sensor, 'clock' | 'clockFloor' | 'profile' | 'aliases' | 'units' | 'codec'>;
/** What a source's entry says about reading what comes through it. */
type SourceReading = Pick<Source, 'clock'>;

/** What decoders need of the registry: every `Registry` is one. */
export interface ReadingRegistry {
  readonly farms: ReadonlyMap<string, FarmReading>;
  /** It is another map after each change of a metric. */
  readonly metrics: ReadonlyMap<string, DescribedMetric>;
  sensor(farm: string, id: string): SensorReading | undefined;
  /** The id of the farm's registered sensor that this one is, as the registry spells it: an EUI may be spelt otherwise. */
  registered(farm: string, id: string): string | undefined;
  readonly sources: ReadonlyMap<string, SourceReading>;
  /** What foreign topics mean. */
  readonly mappings: MappingFinder;
}

/** A part of the registry that says how something is read; without `is` it says nothing any more. */
export type ReadingChange =
  | { readonly of: 'farm'; readonly id: string; readonly is: FarmReading | undefined }
  | { readonly of: 'metric'; readonly id: string; readonly is: DescribedMetric | undefined }
  | { readonly of: 'codec'; readonly id: string; readonly is: RegistryCodec | undefined }
  | { readonly of: 'source'; readonly id: string; readonly is: SourceReading | undefined }
  | { readonly of: 'mapping'; readonly id: string; readonly is: Mapping | undefined }
  | {
      readonly of: 'sensor';
      readonly farm: string;
      readonly id: string;
      readonly is: SensorReading | undefined;
      readonly isRegistered: boolean;
    };

/** All that a registry says about reading, as plain data that a thread can be sent. */
export function readingChangesOf({ farms, metrics, sensors, sources, codecs, mappings }: Registry): ReadingChange[] {
  return [
    ...[...farms.values()].map(readingOfFarm),
    ...[...metrics.values()].map(readingOfMetric),
    ...[...sources.values()].map(readingOfSource),
    ...[...codecs.values()].map((codec) => ({ of: 'codec', id: codec.id, is: codec }) as const),
    ...mappings.all().map((is) => ({ of: 'mapping', id: `${is.farm}/${is.id}`, is }) as const),
    ...sensors.map(readingOfSensor),
  ];
}

/** What changes of a registry say about reading; of most they say nothing. */
export function readingChangesIn(changes: readonly Change[]): ReadingChange[] {
  return changes.flatMap((change): ReadingChange[] => {
    switch (change.kind) {
      case 'farm':
        return [change.after ? readingOfFarm(change.after) : { of: 'farm', id: change.id, is: undefined }];
      case 'metric':
        return [change.after ? readingOfMetric(change.after) : { of: 'metric', id: change.id, is: undefined }];
      case 'source':
        return [change.after ? readingOfSource(change.after) : { of: 'source', id: change.id, is: undefined }];
      case 'codec':
        return [{ of: 'codec', id: change.id, is: change.after }];
      case 'mapping':
        return [{ of: 'mapping', id: change.id, is: change.after }];
      case 'sensor': {
        const before = change.before && readingOfSensor(change.before);
        const after = change.after && readingOfSensor(change.after);
        if (after) return before && !(after.is ?? before.is) ? [] : [after];
        return before ? [{ ...before, is: undefined, isRegistered: false }] : [];
      }
      default:
        return [];
    }
  });
}

/** What a registry says about reading, kept by who gets its changes as plain data. */
export class ReadingRegistryCopy implements ReadingRegistry {
  readonly farms = new Map<string, FarmReading>();
  readonly codecs = new Map<string, RegistryCodec>();
  readonly sources = new Map<string, SourceReading>();
  readonly mappings = new MappingTable();
  metrics: ReadonlyMap<string, DescribedMetric> = new Map();
  /** What the entries of sensors say about reading; of most that is nothing. */
  private readonly sensors = new Map<string, SensorReading>();
  private readonly ids = new Set<string>();
  private readonly euis = new EuiIndex();

  sensor(farm: string, id: string): SensorReading | undefined {
    return this.sensors.get(`${farm}/${id}`);
  }

  registered(farm: string, id: string): string | undefined {
    return this.ids.has(`${farm}/${id}`) ? id : this.euis.find(farm, id);
  }

  apply(changes: readonly ReadingChange[]): void {
    const metrics = new Map(this.metrics);
    for (const change of changes) {
      if (change.of === 'farm') put(this.farms, change.id, change.is);
      else if (change.of === 'metric') put(metrics, change.id, change.is);
      else if (change.of === 'codec') put(this.codecs, change.id, change.is);
      else if (change.of === 'source') put(this.sources, change.id, change.is);
      else if (change.of === 'mapping') this.mappings.set(change.id, change.is);
      else this.applySensor(change);
    }
    if (changes.some((change) => change.of === 'metric')) this.metrics = metrics;
  }

  private applySensor({ farm, id, is, isRegistered }: Extract<ReadingChange, { of: 'sensor' }>): void {
    const whole = `${farm}/${id}`;
    put(this.sensors, whole, is);
    if (isRegistered) this.ids.add(whole);
    else this.ids.delete(whole);
    this.euis.put(farm, id, isRegistered);
  }
}

function readingOfFarm({ id, timezone, clock, quotas }: Farm): ReadingChange {
  return {
    of: 'farm',
    id,
    is: { timezone, clock, quotas: quotas && { names: quotas.names, unregistered: quotas.unregistered } },
  };
}

function readingOfSource({ id, clock }: Source): ReadingChange {
  return { of: 'source', id, is: { clock } };
}

function readingOfMetric({ id, unit, aliases, plausible, texts }: Metric): ReadingChange {
  return { of: 'metric', id, is: { id, unit, aliases, plausible, texts } };
}

function readingOfSensor({ farm, id, clock, clockFloor, profile, aliases, units, codec }: Sensor) {
  const is = { clock, clockFloor, profile, aliases, units, codec };
  const isPlain = Object.values(is).every((value) => value === undefined);
  return { of: 'sensor', farm, id, is: isPlain ? undefined : is, isRegistered: true } as const;
}

function put<T>(map: Map<string, T>, id: string, value: T | undefined): void {
  if (value === undefined) map.delete(id);
  else map.set(id, value);
}
