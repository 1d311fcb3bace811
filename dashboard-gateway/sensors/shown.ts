import type { Registry } from '../../telemetry/registry/registry.ts';
import { type Sensor, UNASSIGNED } from '../../telemetry/registry/things.ts';
import { DEFAULT_INTERVAL_S } from './sensor-state.ts';

/** A sensor as people see it, without what only the broker needs: the hash of its secret or token, and which certificates mean it. */
export type ShownSensor = Pick<Sensor, 'id' | 'field' | 'position' | 'interval' | 'role'> & { readonly name: string };

/** A registered sensor as people see it. */
export function shownSensor({
  secret: _,
  token: __,
  farm: ___,
  cn: ____,
  revoked: _____,
  ...shown
}: Sensor): ShownSensor {
  return { ...shown, name: shown.name ?? shown.id };
}

/** A farm's registered sensors, then those of `reporting` that are not registered. */
export function sensorsOf(registry: Registry, farm: string, reporting: Iterable<string>): ShownSensor[] {
  const registered = registry.sensorsOfFarm.get(farm) ?? [];
  const shown = registered.map(shownSensor);
  const known = new Set(registered.map((s) => s.id));
  for (const id of reporting) {
    if (!known.has(id)) {
      shown.push({ id, field: UNASSIGNED, name: id, interval: DEFAULT_INTERVAL_S, role: 'sensor' });
    }
  }
  return shown;
}
