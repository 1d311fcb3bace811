import type { RegistryView } from '../../telemetry/registry.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import { endpointFor, type MqttEndpoint } from '../mqtt-endpoint.ts';
import { standing } from '../sensor-state.ts';
import { sensorsOf } from '../sensors.ts';
import type { Sessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm, visibleFarms } from './signed-in.ts';

export interface FarmParts {
  readonly registry: RegistryView;
  readonly sessions: Sessions;
  /** By sensor, when its last reading was received, Unix ms. Rejects with StoreUnavailable. */
  readonly lastSeen: (farm: string) => Promise<ReadonlyMap<string, number>>;
  readonly mqtt: () => MqttEndpoint;
  readonly now: () => number;
}

/** What there is: farms, their fields and sensors, metrics. */
export function farmRoutes({ registry, sessions, lastSeen, mqtt, now }: FarmParts): Route[] {
  return [
    {
      method: 'GET',
      path: '/api/farms',
      handler: signedIn(sessions, ({ user }, request) => {
        const current = registry.current();
        const farms = visibleFarms(current, user).map(({ farm, role }) => ({
          ...farm,
          role,
          fields: [...(current.fields.get(farm.id)?.values() ?? [])].map(({ farm: _, ...field }) => field),
        }));
        return json({ farms, metrics: [...current.metrics.values()], mqtt: endpointFor(mqtt(), request.headers.host) });
      }),
    },
    {
      method: 'GET',
      path: '/api/farms/{farm}/sensors',
      handler: signedIn(sessions, async ({ user }, _request, { farm: id = '' }) => {
        const { farm } = visibleFarm(registry.current(), user, id);
        const seen = await lastSeen(farm.id);
        const sensors = sensorsOf(registry.current(), farm.id, seen.keys()).map((sensor) => {
          const last = seen.get(sensor.id);
          const { state } = standing(last, sensor.interval * 1000, now());
          return { ...sensor, state, lastSeen: last ?? null };
        });
        return json({ sensors });
      }),
    },
  ];
}
