import { type Registry, roleOn } from '../../telemetry/registry/registry.ts';
import { type Farm, ROLES, type Role, type User } from '../../telemetry/registry/things.ts';
import { HttpProblem } from '../http/problem.ts';
import { type AnyReply, withHeaders } from '../http/reply.ts';
import type { Request } from '../http/request.ts';
import type { Params, RouteHandler } from '../http/router.ts';
import type { Caller, SignInSessions } from './sessions.ts';

export type CallerHandler = (caller: Caller, request: Request, params: Params) => AnyReply | Promise<AnyReply>;

/** A handler for callers with a session; others get `not-signed-in`. A cookie older than an hour is replaced in the answer. */
export function signedIn(sessions: SignInSessions, handler: CallerHandler): RouteHandler {
  return async (request, params) => {
    const caller = await sessions.caller(request);
    if (!caller) throw new HttpProblem('not-signed-in');
    const reply = await handler(caller, request, params);
    if (!caller.renew || 'set-cookie' in reply.headers) return reply;
    return withHeaders(reply, await sessions.renewed(caller, request));
  };
}

/**
 * The farm and the user's role on it. Throws HttpProblem `forbidden` when the role is less than `least`. A user who may
 * not see the farm gets the same error whether or not the farm exists.
 */
export function visibleFarm(
  registry: Registry,
  user: User,
  id: string,
  least: Role = 'viewer',
): { farm: Farm; role: Role } {
  const farm = registry.farms.get(id);
  const role = roleOn(user, id);
  if (!farm || !role) throw new HttpProblem('forbidden');
  if (ROLES.indexOf(role) < ROLES.indexOf(least)) throw new HttpProblem('forbidden', `only for ${least}s of the farm`);
  return { farm, role };
}

/** Every farm that a user may see, in the registry's order. */
export function visibleFarms(registry: Registry, user: User): { farm: Farm; role: Role }[] {
  return [...registry.farms.values()].flatMap((farm) => {
    const role = roleOn(user, farm.id);
    return role ? [{ farm, role }] : [];
  });
}
