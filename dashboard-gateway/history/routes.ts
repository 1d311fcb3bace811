import { z } from 'zod';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import { unitOf } from '../../telemetry/sensor-rules.ts';
import { parseQuery } from '../http/parse.ts';
import { id, metricName, range, rangeOf } from '../http/query.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import type { FarmNow } from '../live/state/sensor-status.ts';
import { sensorsOf } from '../sensors/shown.ts';
import type { SignInSessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm } from '../sign-in/signed-in.ts';
import type { History } from './history.ts';

const historyQuery = z
  .strictObject({
    sensor: id.optional(),
    field: id.optional(),
    metric: metricName,
    ...range,
    points: z
      .string()
      .regex(/^\d{1,4}$/)
      .transform(Number)
      .refine((n) => n >= 1 && n <= 5000, 'not 1 to 5000')
      .default(500),
  })
  .refine((q) => (q.sensor === undefined) !== (q.field === undefined), 'either sensor or field must be given');

export interface HistoryParts {
  readonly registry: RegistryView;
  readonly sessions: SignInSessions;
  readonly history: History;
  readonly farmNow: (farm: string) => Promise<FarmNow>;
  readonly now: () => number;
}

/** `GET /api/farms/{farm}/history`. */
export function historyRoutes({ registry, sessions, history, farmNow, now }: HistoryParts): Route[] {
  const sensorsOfField = async (farm: string, field: string): Promise<string[]> => {
    const is = await farmNow(farm);
    return sensorsOf(registry.current(), farm, is.sensorIds())
      .filter((sensor) => sensor.field === field)
      .map((sensor) => sensor.id);
  };

  const handler = signedIn(sessions, async ({ user }, request, { farm: farmId = '' }) => {
    const { farm } = visibleFarm(registry.current(), user, farmId);
    const { sensor, field, metric, points, ...given } = parseQuery(historyQuery, request.query);
    const { from, to } = rangeOf(given, now());
    const sensors = sensor === undefined ? await sensorsOfField(farm.id, field ?? '') : [sensor];
    const asked = { farm: farm.id, zone: farm.timezone, sensors, metric, from, to, points, user: user.name };
    const { bucketMs, rows } = await history.ask(asked, request.signal);
    return json({ bucketMs, unit: unitOf(registry.current(), metric), rows });
  });
  return [{ method: 'GET', path: '/api/farms/{farm}/history', handler }];
}
