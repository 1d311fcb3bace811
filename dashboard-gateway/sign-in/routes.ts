import { z } from 'zod';
import { RegistryConflict, RegistryUnavailable } from '../../core/errors.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import type { User } from '../../telemetry/registry/things.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import { parseBody, parseNoBody } from '../http/parse.ts';
import { HttpProblem, retryLater } from '../http/problem.ts';
import { json, noContent, type Reply } from '../http/reply.ts';
import type { Request } from '../http/request.ts';
import type { Route } from '../http/router.ts';
import type { FirstSignIn } from './first-sign-in.ts';
import type { KnownBrowsers } from './known-browsers.ts';
import type { Passwords } from './passwords.ts';
import type { SessionList } from './session-list.ts';
import { endOnAll } from './session-routes.ts';
import { clearedCookie, isTokenHolder, type SignInSessions } from './sessions.ts';
import { signedIn, visibleFarms } from './signed-in.ts';
import type { Throttle } from './throttle.ts';

const MIN_PASSWORD = 10;
const MAX_PASSWORD = 200;
const WAIT =
  'after Retry-After it can be tried again; a browser in which this user signed in before is not slowed by others';

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
  readonly list: SessionList;
  readonly passwords: Passwords;
  readonly throttle: Throttle;
  readonly browsers: KnownBrowsers;
  readonly firstSignIn?: FirstSignIn | undefined;
  readonly events: Pick<EventRecorder, 'did' | 'refused'>;
}

/** Routes to sign in and out, to ask who is signed in, and to set a new password. */
export function signInRoutes(parts: SignInParts): Route[] {
  const { registry, sessions, passwords, browsers, events } = parts;
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
        if ('answer' in given && given.answer === 'token') {
          return json({ ...who, ...(await sessions.begin(user, request, 'program')) });
        }
        const known = await browsers.cookie(user, request);
        return json(who, { headers: await sessions.beginInCookie(user, request), cookies: [known] });
      },
    },
    { method: 'POST', path: '/api/logout', handler: (request) => signOut(parts, request) },
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
        // Who has a session is no stranger: their wrong passwords are counted apart from those of others.
        const session = `session ${request.remoteAddress} ${user.name}`;
        if (user.password !== undefined)
          await proven(parts, request, { user, name: user.name }, current ?? '', session);
        const turn = { address: request.remoteAddress, known: true };
        const changed = await passwords.set(user.name, password, turn).catch((error: unknown) => {
          if (!(error instanceof RegistryUnavailable || error instanceof RegistryConflict)) throw error;
          throw retryLater('registry-unavailable', 5);
        });
        events.did({ kind: 'password_changed', who: user.name, from: request.remoteAddress });
        return {
          ...noContent(await sessions.beginInCookie(changed, request)),
          cookies: [await browsers.cookie(changed, request)],
        };
      }),
    },
  ];
}

/** Ends the session on every gateway, and takes the cookie away. Rejects with HttpProblem `log-unavailable` when other gateways may not know yet. */
async function signOut({ sessions, list, events }: SignInParts, request: Request): Promise<Reply> {
  parseNoBody(request.body);
  const headers = clearedCookie(request);
  const caller = await sessions.caller(request);
  if (caller) events.did({ kind: 'signed_out', who: caller.user.name, from: request.remoteAddress });
  if (caller && !isTokenHolder(caller.user)) await endOnAll(list, caller.session, headers);
  return noContent(headers);
}

async function byPassword(
  parts: SignInParts,
  request: Request,
  { user: name, password }: { user: string; password: string },
): Promise<User> {
  const user = parts.registry.current().users.get(name);
  const browser = await parts.browsers.idOf(user, request.headers.cookie);
  return await proven(parts, request, { user, name }, password, browser);
}

/**
 * The user, when the password is theirs. `browser`: what its wrong passwords are counted by when it is no stranger.
 * Rejects with HttpProblem `wrong-credentials` or `too-many-attempts`.
 */
async function proven(
  parts: SignInParts,
  { remoteAddress: address }: Request,
  { user, name }: { user: User | undefined; name: string },
  password: string,
  browser: string | undefined,
): Promise<User> {
  const { passwords, throttle } = parts;
  slowDown(parts, throttle.begin(name, address, browser), address, user);
  const known = browser !== undefined || throttle.knows(name, address);
  const right = await passwords.check(user, password, { address, known });
  if (!right || !user) throw refused(parts, address, user ? 'wrong_password' : 'unknown_user', user);
  throttle.succeeded(name, address, browser);
  return user;
}

/** A token is 192 random bits. Nobody guesses it, so the right one is never made to wait for the wrong ones of others. */
function byToken(parts: SignInParts, request: Request, token: string): User {
  const { firstSignIn, registry, throttle } = parts;
  const { remoteAddress } = request;
  // Behind a proxy on this machine, every client seems to have a loopback address. So a forwarded request is not near.
  const name = request.headers.forwarded ? undefined : firstSignIn?.exchange(token, remoteAddress);
  const user = name === undefined ? undefined : registry.current().users.get(name);
  if (user) return user;
  slowDown(parts, throttle.wrongToken(remoteAddress), remoteAddress);
  throw refused(parts, remoteAddress, 'wrong_token');
}

function slowDown(parts: SignInParts, wait: number, address: string, user?: User): void {
  if (wait <= 0) return;
  refused(parts, address, 'too_many_attempts', user);
  throw retryLater('too-many-attempts', wait / 1000, WAIT);
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
