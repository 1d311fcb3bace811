import { farmQuotas } from '../../telemetry/farm-quotas.ts';
import { administersAll, type RegistryView } from '../../telemetry/registry/registry.ts';
import { versionOf } from '../../telemetry/registry/things.ts';
import { etagOf } from '../http/etag.ts';
import { parseBody } from '../http/parse.ts';
import { HttpProblem } from '../http/problem.ts';
import { json, type Reply } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import type { RegistryEditing } from '../registry/editing.ts';
import type { SignInSessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm } from '../sign-in/signed-in.ts';

export interface FarmQuotaParts {
  readonly registry: RegistryView;
  readonly editing: RegistryEditing;
  readonly sessions: SignInSessions;
  /** How many commands wait for sensors of a farm. */
  readonly commandsWaiting: (farm: string) => number;
}

/**
 * Routes for the quotas of a farm, and how much of them is used where this gateway knows it: its admins see them, who administers the whole
 * installation sets them. The version is that of the farm.
 */
export function farmQuotaRoutes({ registry, editing, sessions, commandsWaiting }: FarmQuotaParts): Route[] {
  const path = '/api/farms/{farm}/quotas';

  const shown = (id: string): Reply => {
    const current = registry.current();
    const farm = current.farms.get(id);
    if (!farm) throw new HttpProblem('forbidden');
    const used = { sensors: current.sensorsOfFarm.get(id)?.length ?? 0, commands: commandsWaiting(id) };
    return json({ quotas: farm.quotas ?? {}, used }, { headers: etagOf(versionOf('farm', id, farm)) });
  };

  return [
    {
      method: 'GET',
      path,
      handler: signedIn(sessions, ({ user }, _request, { farm = '' }) => {
        visibleFarm(registry.current(), user, farm, 'admin');
        return shown(farm);
      }),
    },
    {
      method: 'PUT',
      path,
      handler: signedIn(sessions, async (caller, request, { farm: id = '' }) => {
        visibleFarm(registry.current(), caller.user, id, 'admin');
        const quotas = parseBody(farmQuotas, request.body);
        await editing.ofFarm({
          caller,
          farm: id,
          about: { kind: 'farm', id, ifMatch: request.headers.ifMatch },
          make: (current, user) => {
            if (!administersAll(user)) throw new HttpProblem('forbidden', 'only for admins of the whole installation');
            const isLimited = Object.keys(quotas).length > 0;
            return [{ kind: 'farm', id, value: { ...current.farms.get(id), quotas: isLimited ? quotas : undefined } }];
          },
        });
        return shown(id);
      }),
    },
  ];
}
