import { z } from 'zod';
import type { RecordedEvent } from '../../telemetry/event.ts';
import { ACT_KINDS, type Noted, REFUSAL_KINDS } from '../../telemetry/noted.ts';
import { administersAll, type RegistryView } from '../../telemetry/registry/registry.ts';
import type { User } from '../../telemetry/registry/things.ts';
import { parseQuery } from '../http/parse.ts';
import { HttpProblem } from '../http/problem.ts';
import { id } from '../http/query.ts';
import { json } from '../http/reply.ts';
import type { Request } from '../http/request.ts';
import type { Route } from '../http/router.ts';
import { WorkLimit } from '../http/work-limit.ts';
import type { FarmNow } from '../live/state/sensor-status.ts';
import type { SignInSessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm } from '../sign-in/signed-in.ts';
import { type EventCursor, type EventList, SOURCES } from './event-list.ts';
import type { RecentRefusals } from './recent-refusals.ts';
import { isOfFarm, shownEvent, shownNoted } from './shown.ts';

const EVENT_KINDS = ['overwritten', 'registry_changed', ...ACT_KINDS, ...REFUSAL_KINDS] as const;
/** A page may look at thousands of events: so many pages at once, and so many that wait. */
const LOOKING = { running: 2, runningOfOne: 1, waiting: 20 } as const;

const whole = z
  .string()
  .regex(/^\d{1,15}$/, 'not a number')
  .transform(Number);
const kinds = z
  .string()
  .max(200)
  .transform((text) => text.split(','))
  .pipe(z.array(z.enum(EVENT_KINDS)).max(EVENT_KINDS.length));
const cursor = z
  .string()
  .regex(/^\d{1,15}(?:-\d{1,15}){2}$/, 'not what `next` said')
  .transform((text) => text.split('-').map(Number));
const ofFarm = {
  kind: kinds.optional(),
  text: z.string().min(1).max(100).optional(),
  since: whole.default(0),
  before: cursor.optional(),
  limit: whole.refine((n) => n >= 1 && n <= 200, 'allowed: 1 to 200').default(50),
};
const ofFarmQuery = z.strictObject(ofFarm);
const ofAllQuery = z.strictObject({ ...ofFarm, farm: id.optional() });

export interface EventRouteParts {
  readonly registry: RegistryView;
  readonly sessions: SignInSessions;
  readonly events: { readonly list: EventList; readonly recent: RecentRefusals };
  /** A farm's sensors as they are now. Rejects with StoreUnavailable. */
  readonly farmNow: (farm: string) => Promise<FarmNow>;
  /** Unix ms. */
  readonly now: () => number;
}

/**
 * Routes that list events: all of them for admins of every farm; for admins of a farm those that are certain to be the
 * farm's. And one that tells the newest refusal of each sensor of a farm.
 */
export function eventRoutes({ registry, sessions, events, farmNow, now }: EventRouteParts): Route[] {
  const limit = new WorkLimit(LOOKING);
  const page = (user: User, query: z.infer<typeof ofAllQuery>) =>
    limit.run([`user ${user.name}`], () => pageOf(events.list, query));
  return [
    {
      method: 'GET',
      path: '/api/events',
      handler: signedIn(sessions, async ({ user }, { query }: Request) => {
        if (!administersAll(user)) throw new HttpProblem('forbidden', 'only for admins of every farm');
        return json(await page(user, parseQuery(ofAllQuery, query)));
      }),
    },
    {
      method: 'GET',
      path: '/api/farms/{farm}/events',
      handler: signedIn(sessions, async ({ user }, { query }: Request, { farm = '' }) => {
        const { id: own } = visibleFarm(registry.current(), user, farm, 'admin').farm;
        return json(await page(user, { ...parseQuery(ofFarmQuery, query), farm: own }));
      }),
    },
    {
      method: 'GET',
      path: '/api/farms/{farm}/refusals',
      handler: signedIn(sessions, async ({ user }, _request, { farm: id = '' }) => {
        const { farm } = visibleFarm(registry.current(), user, id, 'admin');
        const sensors = registry.current().sensorsOfFarm.get(farm.id) ?? [];
        const found = sensors.flatMap((sensor) => refusedNow(events.recent, farm.id, sensor.id, administersAll(user)));
        if (found.length === 0) return json({ sensors: [] });
        const is = await farmNow(farm.id);
        const heard = (sensor: string) => is.sensorNow(sensor, now()).lastSeen;
        return json({ sensors: found.map((one) => ({ ...one, lastSeen: heard(one.sensor) })) });
      }),
    },
  ];
}

async function pageOf(list: EventList, query: z.infer<typeof ofAllQuery>) {
  const { kind, text, farm, since, before, limit } = query;
  const wanted = text?.toLowerCase();
  const fits = (event: RecordedEvent): boolean =>
    (kind === undefined || kind.includes(event.kind)) &&
    (farm === undefined || isOfFarm(event, farm)) &&
    (wanted === undefined || JSON.stringify(shownEvent(event)).toLowerCase().includes(wanted));
  const { events, next } = await list.page({ fits, since, limit }, before);
  return { events: events.map(shownEvent), next: next === undefined ? null : textOf(next) };
}

function textOf(next: EventCursor): string {
  return Array.from({ length: SOURCES }, (_, i) => next[i] ?? 0).join('-');
}

/**
 * The newest refusal of a sensor. One that gave only an id may be another farm's: only admins of every farm are told of
 * it, with `certain: false`.
 */
function refusedNow(recent: RecentRefusals, farm: string, sensor: string, everywhere: boolean) {
  const { refused, takenOver } = recent.of(farm, sensor);
  const named = everywhere ? recent.named(sensor) : undefined;
  const newest = (named?.at ?? 0) > (refused?.at ?? 0) ? named : refused;
  if (newest === undefined && takenOver === undefined) return [];
  const shown = (event: Noted | undefined) => (event === undefined ? null : shownNoted(event));
  return [{ sensor, refused: shown(newest), certain: newest === refused, takenOver: shown(takenOver) }];
}
