import { randomBytes } from 'node:crypto';
import { parseCookie, stringifySetCookie } from 'cookie';
import { errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { steadyFrom } from '../../core/clock.ts';
import { hashSecret, sameText } from '../../core/secrets.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import { EVERY_FARM, type User } from '../../telemetry/registry/things.ts';
import { MOST_AGENT } from '../../telemetry/session-entry.ts';
import { bearerOf } from '../http/origin.ts';
import type { Headers, Request } from '../http/request.ts';
import type { SessionList } from './session-list.ts';

/** A session that is not used for so long is over. */
export const SESSION_MS = 12 * 3_600_000;
/** And however much it is used, so long after its begin. */
export const LONGEST_SESSION_MS = 30 * 24 * 3_600_000;
const RENEW_AFTER_MS = 3_600_000;
/** So much ahead may the clock of another gateway be, ms. */
const OTHERS_MS = 5 * 60_000;
/** With TLS the name keeps others out: browsers take a cookie of this name only from the very host, and only with TLS. */
const COOKIE = { plain: 'loam', secure: '__Host-loam' } as const;
const ISSUER = 'loam';

/** Who sent a request, and until when the session is valid. */
export interface Caller {
  readonly user: User;
  /** Stands for the password that the user had when the session began. */
  readonly fingerprint: string;
  /** The id of the session, and when it began, Unix ms. */
  readonly session: string;
  readonly begun: number;
  /** Unix ms. */
  readonly expires: number;
  /** Whether the session is old enough for a fresh cookie. */
  readonly renew: boolean;
}

/** The user of requests with the admin token. No user of the registry can have this name. */
const TOKEN_HOLDER: User = { name: '(admin token)', farms: { [EVERY_FARM]: 'admin' } };

const HOLDER: Caller = {
  user: TOKEN_HOLDER,
  fingerprint: '',
  session: '',
  begun: 0,
  expires: Number.POSITIVE_INFINITY,
  renew: false,
};

/** Whether the caller came with the admin token, and is no user of the registry. */
export function isTokenHolder(user: User): boolean {
  return user === TOKEN_HOLDER;
}

const claims = z.object({
  sub: z.string(),
  iat: z.number(),
  exp: z.number(),
  pwd: z.string(),
  /** The session's id, and when it began: seconds, as `iat` and `exp`. */
  sid: z.string(),
  beg: z.number(),
});

/** Where somebody signs in from. */
export type SignInFrom = Pick<Request, 'remoteAddress' | 'secure'> & { readonly headers: Pick<Headers, 'userAgent'> };
/** What shows who sent a request. */
export type Credentials = Pick<Request, 'secure'> & { readonly headers: Pick<Headers, 'cookie' | 'authorization'> };

export interface SessionOptions {
  /** Signs tokens; the same on every gateway. */
  readonly key: string;
  /** Makes a caller admin of every farm; accepted only as a bearer token. */
  readonly adminToken: string | undefined;
  readonly registry: RegistryView;
  readonly list: SessionList;
  /** Unix ms, and ms by a monotonic clock. */
  readonly now: () => number;
  readonly passed: () => number;
}

/**
 * Sign-in sessions are signed tokens: any gateway with the same key accepts them. Which sessions there are, and which were ended before their time, all
 * gateways know from a log (`SessionList`). A token contains a fingerprint of the user's password. So a new password ends the sessions before it, and so does
 * removing the user.
 *
 * How long they are good is counted by the time that passes: that the clock is set ends none, and makes none longer. A token may be of another
 * process, whose clock was ahead: one that would be good for longer than any is not good at all.
 */
export class SignInSessions {
  private readonly key: Uint8Array;
  private readonly adminToken: string | undefined;
  private readonly registry: RegistryView;
  private readonly list: SessionList;
  private readonly now: () => number;
  private readonly steady: () => number;

  constructor({ key, adminToken, registry, list, now, passed }: SessionOptions) {
    this.key = new TextEncoder().encode(key);
    this.adminToken = adminToken;
    this.registry = registry;
    this.list = list;
    this.now = now;
    this.steady = steadyFrom({ now, passed });
  }

  /** Begins a session. Its token is good for 12 hours, until `expires` (Unix ms). */
  async begin(user: User, from: SignInFrom, by: 'browser' | 'program'): Promise<{ token: string; expires: number }> {
    const id = randomBytes(12).toString('base64url');
    const begun = Math.floor(this.steady() / 1000) * 1000;
    const at = Math.round(this.steady());
    const address = from.remoteAddress;
    const agent = from.headers.userAgent.slice(0, MOST_AGENT);
    const fingerprint = fingerprintOf(user);
    const ends = at + (by === 'browser' ? LONGEST_SESSION_MS : SESSION_MS);
    this.list.begin({ kind: 'begun', id, user: user.name, fingerprint, by, address, agent, at, ends });
    return await this.issue(user, id, begun);
  }

  /** Begins a session of a browser: the `Set-Cookie` header with its token. A browser sends it back only over TLS when it came over TLS. */
  async beginInCookie(user: User, from: SignInFrom): Promise<{ 'set-cookie': string }> {
    const { token, expires } = await this.begin(user, from, 'browser');
    return this.cookie(token, expires, from.secure);
  }

  /** The `Set-Cookie` header with a fresh token for the session of `caller`. */
  async renewed({ user, session, begun }: Caller, from: SignInFrom): Promise<{ 'set-cookie': string }> {
    this.list.used(session, from.remoteAddress);
    const { token, expires } = await this.issue(user, session, begun);
    return this.cookie(token, expires, from.secure);
  }

  /** Who sent a request; undefined without a valid session or the admin token. */
  async caller({ headers, secure }: Credentials): Promise<Caller | undefined> {
    const bearer = bearerOf(headers.authorization);
    if (bearer !== undefined && this.adminToken !== undefined && sameText(bearer, this.adminToken)) return HOLDER;
    const token = bearer ?? parseCookie(headers.cookie)[secure ? COOKIE.secure : COOKIE.plain];
    if (!token) return undefined;
    const claim = await this.verify(token);
    const user = claim && this.registry.current().users.get(claim.sub);
    if (!user || fingerprintOf(user) !== claim.pwd || !this.list.isGood(claim.sid, claim.beg * 1000)) return undefined;
    const renew = bearer === undefined && this.steady() - claim.iat * 1000 > RENEW_AFTER_MS;
    const { pwd: fingerprint, sid: session } = claim;
    return { user, fingerprint, session, begun: claim.beg * 1000, expires: claim.exp * 1000, renew };
  }

  /** The user of a session that is still good, as the registry has it now; undefined when it has ended. */
  stillGood(caller: Caller): User | undefined {
    if (isTokenHolder(caller.user)) return caller.user;
    const user = this.registry.current().users.get(caller.user.name);
    const isGood = this.isGood(caller.expires) && this.list.isGood(caller.session, caller.begun);
    return user && fingerprintOf(user) === caller.fingerprint && isGood ? user : undefined;
  }

  private async issue(user: User, session: string, begun: number): Promise<{ token: string; expires: number }> {
    const seconds = Math.floor(this.steady() / 1000);
    const end = Math.min(seconds + SESSION_MS / 1000, (begun + LONGEST_SESSION_MS) / 1000);
    const token = await new SignJWT({ pwd: fingerprintOf(user), sid: session, beg: begun / 1000 })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer(ISSUER)
      .setSubject(user.name)
      .setIssuedAt(seconds)
      .setExpirationTime(end)
      .sign(this.key);
    return { token, expires: end * 1000 };
  }

  private cookie(token: string, expires: number, secure: boolean): { 'set-cookie': string } {
    return setCookie(token, Math.max(0, Math.floor((expires - this.steady()) / 1000)), secure);
  }

  private isGood(expires: number): boolean {
    const steady = this.steady();
    return expires > steady && expires <= Math.max(this.now(), steady) + SESSION_MS + OTHERS_MS;
  }

  private async verify(token: string): Promise<z.infer<typeof claims> | undefined> {
    try {
      const options = {
        algorithms: ['HS256'],
        issuer: ISSUER,
        currentDate: new Date(this.steady()),
      };
      const { payload } = await jwtVerify(token, this.key, options);
      const claim = claims.safeParse(payload).data;
      return claim && this.isGood(claim.exp * 1000) ? claim : undefined;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }
}

/** The `Set-Cookie` header that removes the session's cookie. */
export function clearedCookie({ secure }: { secure: boolean }): { 'set-cookie': string } {
  return setCookie('', 0, secure);
}

function setCookie(value: string, maxAge: number, secure: boolean): { 'set-cookie': string } {
  const name = secure ? COOKIE.secure : COOKIE.plain;
  const cookie = { name, value, maxAge, path: '/', httpOnly: true, sameSite: 'strict', secure } as const;
  return { 'set-cookie': stringifySetCookie(cookie) };
}

/** Stands for the user's password: another one has another. */
export function fingerprintOf(user: User): string {
  return hashSecret(user.password ?? '').slice(0, 16);
}
