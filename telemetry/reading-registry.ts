import type { Farm, Metric, Registry, Sensor } from './registry.ts';

/** What a metric's entry in the registry says about reading it. */
export type DescribedMetric = Pick<Metric, 'id' | 'unit' | 'aliases' | 'plausible'>;
/** What a sensor's entry in the registry says about reading its payloads. */
export type SensorReading = Pick<Sensor, 'clock' | 'aliases' | 'units' | 'codec'>;

/** What decoders need of the registry: every `Registry` is one. */
export interface ReadingRegistry {
  readonly farms: ReadonlyMap<string, Pick<Farm, 'timezone'>>;
  readonly metrics: ReadonlyMap<string, DescribedMetric>;
  sensor(farm: string, id: string): SensorReading | undefined;
}

/** A `ReadingRegistry` as plain data, which a thread can be sent. */
export interface ReadingRegistryData {
  readonly farms: ReadonlyMap<string, Pick<Farm, 'timezone'>>;
  readonly metrics: ReadonlyMap<string, DescribedMetric>;
  /** By farm, then by id. A sensor whose entry says nothing about reading is left out: most are such. */
  readonly sensors: ReadonlyMap<string, ReadonlyMap<string, SensorReading>>;
}

/** The plain data of a registry. */
export function readingDataOf({ farms, metrics, sensors }: Registry): ReadingRegistryData {
  const found = new Map<string, Map<string, SensorReading>>();
  for (const { farm, id, clock, aliases, units, codec } of sensors) {
    if (clock === undefined && aliases === undefined && units === undefined && codec === undefined) continue;
    const ofFarm = found.get(farm) ?? new Map<string, SensorReading>();
    found.set(farm, ofFarm.set(id, { clock, aliases, units, codec }));
  }
  return {
    farms: new Map([...farms].map(([id, { timezone }]) => [id, { timezone }])),
    metrics: new Map(
      [...metrics].map(([id, { unit, aliases, plausible }]) => [id, { id, unit, aliases, plausible }] as const),
    ),
    sensors: found,
  };
}

/** The registry in plain data. */
export function readingRegistryOf({ farms, metrics, sensors }: ReadingRegistryData): ReadingRegistry {
  return { farms, metrics, sensor: (farm, id) => sensors.get(farm)?.get(id) };
}
