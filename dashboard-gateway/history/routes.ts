import { z } from 'zod';
import { heldFor, intervalOf } from '../../telemetry/field-value.ts';
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
  const sensorsOfField = async (farm: string, field: string) => {
    const is = await farmNow(farm);
    return sensorsOf(registry.current(), farm, is.sensorIds()).filter((sensor) => sensor.field === field);
  };
  const whoseOf = async (farm: string, sensor: string | undefined, field: string | undefined) => {
    if (sensor !== undefined) return { sensors: [sensor] };
    const shown = await sensorsOfField(farm, field ?? '');
    const held = shown.map(({ id, interval }) => [id, heldFor(intervalOf(interval, []))] as const);
    return { sensors: shown.map(({ id }) => id), held };
  };

  const handler = signedIn(sessions, async ({ user }, request, { farm: farmId = '' }) => {
    const { farm } = visibleFarm(registry.current(), user, farmId);
    const { sensor, field, metric, points, ...given } = parseQuery(historyQuery, request.query);
    const { from, to } = rangeOf(given, now());
    const whose = await whoseOf(farm.id, sensor, field);
    const asked = { farm: farm.id, zone: farm.timezone, ...whose, metric, from, to, points, user: user.name };
    const { bucketMs, rows } = await history.ask(asked, request.signal);
    return json({ bucketMs, unit: unitOf(registry.current(), metric), rows });
  });
  return [{ method: 'GET', path: '/api/farms/{farm}/history', handler }];
}
