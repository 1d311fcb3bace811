import { z } from 'zod';
import { RegistryConflict, RegistryUnavailable } from '../../core/errors.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import type { User } from '../../telemetry/registry/things.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import { parseBody } from '../http/parse.ts';
import { HttpProblem, retryLater } from '../http/problem.ts';
import { json, noContent } from '../http/reply.ts';
import type { Request } from '../http/request.ts';
import type { Route } from '../http/router.ts';
import type { FirstSignIn } from './first-sign-in.ts';
import type { Passwords } from './passwords.ts';
import { clearedCookie, isTokenHolder, type SignInSessions } from './sessions.ts';
import { signedIn, visibleFarms } from './signed-in.ts';
import type { Throttle } from './throttle.ts';

const MIN_PASSWORD = 10;
const MAX_PASSWORD = 200;

const anyPassword = z.string().max(1000);
const login = z.union([
  z.strictObject({
    user: z.string().min(1).max(64),
    password: anyPassword,
    answer: z.enum(['cookie', 'token']).default('cookie'),
  }),
  z.strictObject({ token: z.string().min(1).max(200) }),
]);
const passwordChange = z.strictObject({
  password: z.string().min(MIN_PASSWORD).max(MAX_PASSWORD),
  current: anyPassword.optional(),
});

export interface SignInParts {
  readonly registry: RegistryView;
  readonly sessions: SignInSessions;
  readonly passwords: Passwords;
  readonly throttle: Throttle;
  readonly firstSignIn?: FirstSignIn | undefined;
  readonly events: Pick<EventRecorder, 'did' | 'refused'>;
}

/** Routes to sign in and out, to ask who is signed in, and to set a new password. */
export function signInRoutes(parts: SignInParts): Route[] {
  const { registry, sessions, passwords, events } = parts;
  return [
    {
      method: 'POST',
      path: '/api/login',
      handler: async (request) => {
        const given = parseBody(login, request.body);
        const user = 'token' in given ? byToken(parts, request, given.token) : await byPassword(parts, request, given);
        events.did({ kind: 'signed_in', who: user.name, from: request.remoteAddress });
        const who = describe(registry, user);
        // A program may keep its token where it likes. In a browser, scripts must not be able to read it.
        if ('answer' in given && given.answer === 'token') return json({ ...who, ...(await sessions.issue(user)) });
        return json(who, { headers: await sessions.cookie(user, request) });
      },
    },
    {
      method: 'POST',
      path: '/api/logout',
      handler: async (request) => {
        const caller = await sessions.caller(request.headers);
        if (caller) events.did({ kind: 'signed_out', who: caller.user.name, from: request.remoteAddress });
        return noContent(clearedCookie(request));
      },
    },
    {
      method: 'GET',
      path: '/api/me',
      handler: signedIn(sessions, ({ user }) => json(describe(registry, user))),
    },
    {
      method: 'PUT',
      path: '/api/me/password',
      handler: signedIn(sessions, async ({ user }, request) => {
        if (isTokenHolder(user)) throw new HttpProblem('forbidden', 'the admin token is no user and has no password');
        const { password, current } = parseBody(passwordChange, request.body);
        if (user.password !== undefined) await proven(parts, request, user.name, user, current ?? '');
        const changed = await passwords.set(user.name, password).catch((error: unknown) => {
          if (!(error instanceof RegistryUnavailable || error instanceof RegistryConflict)) throw error;
          throw retryLater('registry-unavailable', 5);
        });
        events.did({ kind: 'password_changed', who: user.name, from: request.remoteAddress });
        return noContent(await sessions.cookie(changed, request));
      }),
    },
  ];
}

function byPassword(parts: SignInParts, request: Request, given: { user: string; password: string }): Promise<User> {
  return proven(parts, request, given.user, parts.registry.current().users.get(given.user), given.password);
}

/** The user, when the password is theirs. Rejects with HttpProblem `wrong-credentials` or `too-many-attempts`. */
async function proven(
  parts: SignInParts,
  { remoteAddress }: Request,
  name: string,
  user: User | undefined,
  password: string,
): Promise<User> {
  const { passwords, throttle } = parts;
  slowDown(parts, name, remoteAddress, user);
  const right = await passwords.check(user, password);
  if (!right || !user) throw refused(parts, remoteAddress, user ? 'wrong_password' : 'unknown_user', user);
  throttle.succeeded(name, remoteAddress);
  return user;
}

function byToken(parts: SignInParts, request: Request, token: string): User {
  const { firstSignIn, registry, throttle } = parts;
  // No user can have this name: wrong tokens do not count as failed attempts for any user.
  slowDown(parts, '(first sign-in)', request.remoteAddress);
  // Behind a proxy on this machine, every client seems to have a loopback address. So a forwarded request is not near.
  const name = request.headers.forwarded ? undefined : firstSignIn?.exchange(token, request.remoteAddress);
  const user = name === undefined ? undefined : registry.current().users.get(name);
  if (!user) throw refused(parts, request.remoteAddress, 'wrong_token');
  throttle.succeeded('(first sign-in)', request.remoteAddress);
  return user;
}

function slowDown(parts: SignInParts, name: string, address: string, user?: User): void {
  const wait = parts.throttle.begin(name, address);
  if (wait <= 0) return;
  refused(parts, address, 'too_many_attempts', user);
  throw retryLater('too-many-attempts', wait / 1000);
}

/** Writes a refusal down. A name that nobody has is not kept: people type a password there by mistake. */
function refused({ events }: SignInParts, from: string, why: string, user?: User): HttpProblem {
  events.refused({ from, why, who: user?.name ?? '', isKnown: user !== undefined });
  return new HttpProblem('wrong-credentials');
}

function describe(registry: RegistryView, user: User) {
  const farms = visibleFarms(registry.current(), user).map(({ farm, role }) => ({ id: farm.id, role }));
  return { user: user.name, farms, passwordSet: user.password !== undefined };
}
