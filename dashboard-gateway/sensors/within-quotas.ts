import { USUAL_SENSORS } from '../../telemetry/farm-quotas.ts';
import { rateOf } from '../../telemetry/rate.ts';
import { administersAll, type Registry } from '../../telemetry/registry/registry.ts';
import type { Sensor, User } from '../../telemetry/registry/things.ts';
import { HttpProblem, quotaReached } from '../http/problem.ts';

/**
 * Refuses what the admins of a farm may not do by themselves. Throws HttpProblem: `quota-reached` for more sensors than the farm may have,
 * `forbidden` for a rate above the usual one and above the one that the sensor has. Who administers the whole installation may do both.
 */
export function refuseBeyondQuotas(current: Registry, user: User, farm: string, sensors: readonly Sensor[]): void {
  if (administersAll(user)) return;
  const before = current.sensorsOfFarm.get(farm)?.length ?? 0;
  const added = sensors.filter(({ id }) => current.sensor(farm, id) === undefined).length;
  const most = current.farms.get(farm)?.quotas?.sensors ?? USUAL_SENSORS;
  if (added > 0 && before + added > most) throw quotaReached('sensors', most);
  for (const sensor of sensors) refuseHigherRate(current, current.sensor(farm, sensor.id), sensor);
}

function refuseHigherRate({ rates }: Registry, before: Sensor | undefined, after: Sensor): void {
  const usual = rateOf({ role: after.role }, rates);
  const had = before?.role === after.role ? rateOf(before, rates) : usual;
  const wanted = rateOf(after, rates);
  for (const part of ['messages', 'bytes', 'burst'] as const) {
    const most = Math.max(usual[part], had[part]);
    if (wanted[part] <= most) continue;
    const why = `rate: the farm's own admins may set up to ${most} ${part}; who administers this installation can set more`;
    throw new HttpProblem('forbidden', why);
  }
}
