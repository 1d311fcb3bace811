import { z } from 'zod';
import type { Store } from '../../backbone/ports/store.ts';
import { type RegistryView, roleOn } from '../../telemetry/registry/registry.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import { parseQuery } from '../http/parse.ts';
import { HttpProblem, quotaReached, retryLater } from '../http/problem.ts';
import { id, metricName, range, rangeOf } from '../http/query.ts';
import type { Route } from '../http/router.ts';
import { Shares } from '../http/shares.ts';
import { farmShare, sharesOf } from '../http/work-limit.ts';
import type { FarmNow } from '../live/state/sensor-status.ts';
import { type ShownSensor, sensorsOf } from '../sensors/shown.ts';
import type { Caller, SignInSessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm } from '../sign-in/signed-in.ts';
import { csv } from './csv.ts';

/** Most exports under way in one gateway, and of them of one user or one farm: others always find room beside those. */
const MOST_AT_ONCE = 8;
const MOST_OF_ONE = 3;

const exportQuery = z
  .strictObject({ sensor: id.optional(), field: id.optional(), metric: metricName.optional(), ...range })
  .refine((q) => q.sensor === undefined || q.field === undefined, 'sensor and field cannot both be given');

export interface ExportParts {
  readonly registry: RegistryView;
  readonly sessions: SignInSessions;
  readonly store: Store;
  readonly events: Pick<EventRecorder, 'did'>;
  readonly farmNow: (farm: string) => Promise<FarmNow>;
  readonly now: () => number;
}

/** `GET /api/farms/{farm}/export.csv`. Reads from the store as fast as the client takes the rows, and stops when the client leaves. */
export function exportRoutes({ registry, sessions, store, events, farmNow, now }: ExportParts): Route[] {
  const open = new Shares(MOST_AT_ONCE, MOST_OF_ONE);

  const handler = signedIn(sessions, async (caller, request, { farm: farmId = '' }) => {
    const { farm } = visibleFarm(registry.current(), caller.user, farmId);
    const { sensor, field, metric, ...given } = parseQuery(exportQuery, request.query);
    const { from, to } = rangeOf(given, now());
    const is = await farmNow(farm.id);
    const all = sensorsOf(registry.current(), farm.id, is.sensorIds());
    const sensors = chosen(all, sensor, field);
    const ids = sensor === undefined ? sensors.map((s) => s.id) : [sensor];
    const query = { farm: farm.id, sensors: ids, from, to, ...(metric === undefined ? {} : { metrics: [metric] }) };
    const rows = csv(store.export(query, request.signal), {
      registry: registry.current(),
      sensors,
      zone: farm.timezone,
    });
    const day = isoOf(from).slice(0, 10);
    const name = [farm.id, sensor ?? field, metric, day].filter((part) => part !== undefined).join('-');
    // It counts from here on, not from its first row: many that are asked for at once come here before any has begun.
    const shares = sharesOf(caller.user.name, farm.id);
    const quota = farm.quotas?.exports;
    if (quota !== undefined && open.of(farmShare(farm.id)) >= quota) throw quotaReached('exports', quota);
    if (!open.take(shares)) {
      const most = `${MOST_OF_ONE} of one user or farm, ${MOST_AT_ONCE} in all`;
      throw retryLater('busy', 10, `as many exports as may are under way: ${most}`);
    }
    const what = `${sensor ?? field ?? 'all'}, ${metric ?? 'every metric'}, ${isoOf(from)} to ${isoOf(to)}`;
    const of = { farm: farm.id, ...(sensor === undefined ? {} : { sensor }) };
    events.did({ kind: 'exported', who: caller.user.name, from: request.remoteAddress, ...of, what });
    return {
      status: 200,
      headers: {
        'content-type': 'text/csv; charset=utf-8',
        'content-disposition': `attachment; filename="${name.replaceAll(':', '_')}.csv"`,
        'cache-control': 'no-store',
      },
      pieces: whilePermitted(rows, caller, farm.id),
    };
  });

  /** Of one that counts. The server asks every answer's pieces for the first: so it counts until they have ended. */
  async function* whilePermitted(pieces: AsyncGenerator<string>, caller: Caller, farm: string): AsyncGenerator<string> {
    try {
      for await (const piece of pieces) {
        const user = sessions.stillGood(caller);
        if (user === undefined || roleOn(user, farm) === undefined) throw new HttpProblem('forbidden');
        yield piece;
      }
    } finally {
      open.leave(sharesOf(caller.user.name, farm));
    }
  }

  return [{ method: 'GET', path: '/api/farms/{farm}/export.csv', handler }];
}

function isoOf(ms: number): string {
  return new Date(ms).toISOString();
}

function chosen(all: readonly ShownSensor[], sensor: string | undefined, field: string | undefined): ShownSensor[] {
  if (sensor !== undefined) return all.filter((one) => one.id === sensor);
  return all.filter((one) => field === undefined || one.field === field);
}
