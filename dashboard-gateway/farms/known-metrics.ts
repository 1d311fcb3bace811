import { CATALOGUE } from '../../telemetry/catalogue.ts';
import type { Metric } from '../../telemetry/registry/things.ts';

/** How a metric is shown: its name, its unit, and where somebody set them the bounds in which all is well. */
export type MetricEntry = Pick<Metric, 'id' | 'label' | 'unit' | 'min' | 'max' | 'decimals'>;

/**
 * Every metric that has a name and a unit: the registry's in its order, then those of the catalogue that it does not
 * describe. What the registry says of a metric is said by it alone, so a unit that it left out is not filled in here:
 * readings are not converted to that unit either.
 */
export function knownMetrics(registered: ReadonlyMap<string, Metric>): MetricEntry[] {
  const described = [...registered.values()].map(({ id, label, unit, min, max, decimals }) => ({
    id,
    label,
    unit,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    decimals,
  }));
  const others = [...CATALOGUE.values()].filter(({ id }) => !registered.has(id));
  return [...described, ...others.map(({ id, label, unit, decimals }) => ({ id, label, unit, decimals }))];
}
