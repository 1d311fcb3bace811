import type { Change } from '../../../telemetry/registry/registry.ts';

/** What viewers show of a sensor's entry in the registry. */
const SHOWN = ['field', 'name', 'interval'] as const;

/** The farms of which viewers show something that these changes have made out of date. */
export function farmsThatLookOther(changes: readonly Change[]): Set<string> {
  const farms = new Set<string>();
  for (const change of changes) {
    if (change.kind !== 'sensor') continue;
    const { before, after } = change;
    const farm = (after ?? before)?.farm;
    if (farm !== undefined && SHOWN.some((key) => before?.[key] !== after?.[key])) farms.add(farm);
  }
  return farms;
}
