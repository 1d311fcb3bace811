import { z } from 'zod';
import type { Store } from '../../backbone/store/port.ts';
import type { RegistryView } from '../../telemetry/registry.ts';
import { chooseCut, foldDays } from '../history-buckets.ts';
import { Gate } from '../http/gate.ts';
import { inTime } from '../http/in-time.ts';
import { parseQuery } from '../http/parse.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import { sensorsOf } from '../sensors.ts';
import type { Sessions } from '../sign-in/sessions.ts';
import { id, metricName, range, rangeOf } from './query.ts';
import { signedIn, visibleFarm } from './signed-in.ts';

const MAX_RUNNING = 8;
const MAX_WAITING = 200;

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
  readonly sessions: Sessions;
  readonly store: Store;
  readonly lastSeen: (farm: string) => Promise<ReadonlyMap<string, number>>;
  readonly now: () => number;
}

/** `GET /api/farms/{farm}/history`. */
export function historyRoutes({ registry, sessions, store, lastSeen, now }: HistoryParts): Route[] {
  const gate = new Gate(MAX_RUNNING, MAX_WAITING);

  const sensorsOfField = async (farm: string, field: string): Promise<string[]> => {
    const seen = await lastSeen(farm);
    return sensorsOf(registry.current(), farm, seen.keys())
      .filter((sensor) => sensor.field === field)
      .map((sensor) => sensor.id);
  };

  const handler = signedIn(sessions, async ({ user }, request, { farm: farmId = '' }) => {
    const { farm } = visibleFarm(registry.current(), user, farmId);
    const { sensor, field, metric, points, ...given } = parseQuery(historyQuery, request.query);
    const { from, to } = rangeOf(given, now());

    const sensors = sensor === undefined ? await sensorsOfField(farm.id, field ?? '') : [sensor];
    const cut = chooseCut(from, to, points, farm.timezone);
    const query = { farm: farm.id, sensors, metric, from, to, bucket: cut.bucket };
    const buckets = sensors.length === 0 ? [] : await gate.run(() => inTime(store.history(query)));
    const rows = foldDays(buckets, from, cut.days, farm.timezone);
    return json({
      bucketMs: cut.bucketMs,
      unit: registry.current().metrics.get(metric)?.unit ?? '',
      rows: rows.map((b) => [b.ts, b.last, b.min, b.max, b.mean, b.count]),
    });
  });
  return [{ method: 'GET', path: '/api/farms/{farm}/history', handler }];
}
