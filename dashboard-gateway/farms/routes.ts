import type { RegistryView } from '../../telemetry/registry/registry.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import type { FarmNow } from '../live/state/sensor-status.ts';
import { endpointFor, type MqttEndpoint } from '../sensors/mqtt-endpoint.ts';
import { sensorsOf } from '../sensors/shown.ts';
import type { SignInSessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm, visibleFarms } from '../sign-in/signed-in.ts';
import { knownMetrics } from './known-metrics.ts';

export interface FarmParts {
  readonly registry: RegistryView;
  readonly sessions: SignInSessions;
  /** A farm's sensors as they are now. Rejects with StoreUnavailable. */
  readonly farmNow: (farm: string) => Promise<FarmNow>;
  readonly mqtt: () => MqttEndpoint;
  readonly now: () => number;
}

/** Routes that list farms, their fields and sensors, and metrics. */
export function farmRoutes({ registry, sessions, farmNow, mqtt, now }: FarmParts): Route[] {
  return [
    {
      method: 'GET',
      path: '/api/farms',
      handler: signedIn(sessions, ({ user }, request) => {
        const current = registry.current();
        const farms = visibleFarms(current, user).map(({ farm: { quotas: _, ...farm }, role }) => ({
          ...farm,
          role,
          fields: [...(current.fields.get(farm.id)?.values() ?? [])].map(({ farm: _, ...field }) => field),
        }));
        return json({ farms, metrics: knownMetrics(current.metrics), mqtt: endpointFor(mqtt(), request.headers.host) });
      }),
    },
    {
      method: 'GET',
      path: '/api/farms/{farm}/sensors',
      handler: signedIn(sessions, async ({ user }, _request, { farm: id = '' }) => {
        const { farm } = visibleFarm(registry.current(), user, id);
        const is = await farmNow(farm.id);
        const at = now();
        const shown = sensorsOf(registry.current(), farm.id, is.sensorIds());
        return json({ sensors: shown.map((sensor) => ({ ...sensor, ...is.sensorNow(sensor.id, at) })) });
      }),
    },
  ];
}
