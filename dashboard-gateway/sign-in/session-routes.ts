import { LogUnavailable } from '../../core/errors.ts';
import { parseNoBody } from '../http/parse.ts';
import { HttpProblem } from '../http/problem.ts';
import { json, noContent } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import type { KnownSession, SessionList } from './session-list.ts';
import { type Caller, isTokenHolder, type SignInSessions } from './sessions.ts';
import { signedIn } from './signed-in.ts';

export interface SessionParts {
  readonly sessions: SignInSessions;
  readonly list: SessionList;
}

/** Routes by which people see where they are signed in, and end what they do not know or need. */
export function sessionRoutes({ sessions, list }: SessionParts): Route[] {
  const path = '/api/me/sessions';
  /** Throws HttpProblem `forbidden` for the admin token, which has none. */
  const own = ({ user, fingerprint }: Caller): KnownSession[] => {
    if (isTokenHolder(user)) throw new HttpProblem('forbidden', 'the admin token is no user and has no sessions');
    return list.of(user.name, fingerprint);
  };

  return [
    {
      method: 'GET',
      path,
      handler: signedIn(sessions, (caller) =>
        json({ sessions: own(caller).map((session) => shown(session, caller.session)) }),
      ),
    },
    {
      // All but the one that asks.
      method: 'DELETE',
      path,
      handler: signedIn(sessions, async (caller, { body }) => {
        parseNoBody(body);
        const others = own(caller).filter(({ id }) => id !== caller.session);
        await Promise.all(others.map(({ id }) => endOnAll(list, id)));
        return noContent();
      }),
    },
    {
      method: 'DELETE',
      path: `${path}/{session}`,
      handler: signedIn(sessions, async (caller, { body }, { session = '' }) => {
        parseNoBody(body);
        if (!own(caller).some(({ id }) => id === session))
          throw new HttpProblem('not-found', 'no such session of yours');
        await endOnAll(list, session);
        return noContent();
      }),
    },
  ];
}

/** Ends a session on every gateway. Rejects with HttpProblem `log-unavailable`, which has `headers`, when others may not know yet. */
export async function endOnAll(
  list: SessionList,
  id: string,
  headers: Readonly<Record<string, string>> = {},
): Promise<void> {
  try {
    await list.end(id);
  } catch (error) {
    if (!(error instanceof LogUnavailable)) throw error;
    throw new HttpProblem('log-unavailable', error.message, { ...headers, 'retry-after': '5' });
  }
}

function shown({ id, by, address, agent, at, ends, usedAt, usedFrom }: KnownSession, current: string) {
  return { id, by, agent, begun: at, from: address, used: usedAt, usedFrom, ends, current: id === current };
}
