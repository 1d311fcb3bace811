import { parseCookie, stringifySetCookie } from 'cookie';
import { errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { steadyFrom } from '../../core/clock.ts';
import { hashSecret, sameText } from '../../core/secrets.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import { EVERY_FARM, type User } from '../../telemetry/registry/things.ts';
import type { Headers } from '../http/request.ts';

export const SESSION_MS = 12 * 3_600_000;
const RENEW_AFTER_MS = 3_600_000;
/** So much ahead may the clock of another gateway be, ms. */
const OTHERS_MS = 5 * 60_000;
const COOKIE = 'loam';
const ISSUER = 'loam';

/** Who sent a request, and until when the session is valid. */
export interface Caller {
  readonly user: User;
  /** Stands for the password that the user had when the session began. */
  readonly fingerprint: string;
  /** Unix ms. */
  readonly expires: number;
  /** Whether the session is old enough for a fresh cookie. */
  readonly renew: boolean;
}

/** The user of requests with the admin token. No user of the registry can have this name. */
const TOKEN_HOLDER: User = { name: '(admin token)', farms: { [EVERY_FARM]: 'admin' } };

/** Whether the caller came with the admin token, and is no user of the registry. */
export function isTokenHolder(user: User): boolean {
  return user === TOKEN_HOLDER;
}

const claims = z.object({ sub: z.string(), iat: z.number(), exp: z.number(), pwd: z.string() });

export interface SessionOptions {
  /** Signs tokens; the same on every gateway. */
  readonly key: string;
  /** Makes a caller admin of every farm; accepted only as a bearer token. */
  readonly adminToken: string | undefined;
  readonly registry: RegistryView;
  /** Unix ms, and ms by a monotonic clock. */
  readonly now: () => number;
  readonly passed: () => number;
}

/**
 * Sign-in sessions are signed tokens that are stored nowhere: any gateway with the same key accepts them. A token
 * contains a fingerprint of the user's password. So a new password ends the sessions before it, and so does removing
 * the user.
 *
 * How long they are good is counted by the time that passes: that the clock is set ends none, and makes none longer. A token may be of another
 * process, whose clock was ahead: one that would be good for longer than any is not good at all.
 */
export class SignInSessions {
  private readonly key: Uint8Array;
  private readonly adminToken: string | undefined;
  private readonly registry: RegistryView;
  private readonly now: () => number;
  private readonly steady: () => number;

  constructor({ key, adminToken, registry, now, passed }: SessionOptions) {
    this.key = new TextEncoder().encode(key);
    this.adminToken = adminToken;
    this.registry = registry;
    this.now = now;
    this.steady = steadyFrom({ now, passed });
  }

  /** A token for `user`, good for 12 hours, until `expires` (Unix ms). */
  async issue(user: User): Promise<{ token: string; expires: number }> {
    const seconds = Math.floor(this.steady() / 1000);
    const token = await new SignJWT({ pwd: fingerprintOf(user) })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer(ISSUER)
      .setSubject(user.name)
      .setIssuedAt(seconds)
      .setExpirationTime(seconds + SESSION_MS / 1000)
      .sign(this.key);
    return { token, expires: seconds * 1000 + SESSION_MS };
  }

  /**
   * The `Set-Cookie` header with a fresh token for `user`. `secure`: the client speaks TLS; the browser then sends it
   * back only over TLS.
   */
  async cookie(user: User, { secure }: { secure: boolean }): Promise<{ 'set-cookie': string }> {
    const { token } = await this.issue(user);
    return setCookie(token, SESSION_MS / 1000, secure);
  }

  /** Who sent a request with these headers; undefined without a valid session or the admin token. */
  async caller(headers: Pick<Headers, 'cookie' | 'authorization'>): Promise<Caller | undefined> {
    const bearer = /^Bearer ([\w.~+/=-]+)$/i.exec(headers.authorization)?.[1];
    if (bearer !== undefined && this.adminToken !== undefined && sameText(bearer, this.adminToken)) {
      return { user: TOKEN_HOLDER, fingerprint: '', expires: Number.POSITIVE_INFINITY, renew: false };
    }
    const token = bearer ?? parseCookie(headers.cookie)[COOKIE];
    if (!token) return undefined;
    const claim = await this.verify(token);
    const user = claim && this.registry.current().users.get(claim.sub);
    if (!user || fingerprintOf(user) !== claim.pwd) return undefined;
    const renew = bearer === undefined && this.steady() - claim.iat * 1000 > RENEW_AFTER_MS;
    return { user, fingerprint: claim.pwd, expires: claim.exp * 1000, renew };
  }

  /** The user of a session that is still good, as the registry has it now; undefined when it has ended. */
  stillGood(caller: Caller): User | undefined {
    if (isTokenHolder(caller.user)) return caller.user;
    const user = this.registry.current().users.get(caller.user.name);
    return user && fingerprintOf(user) === caller.fingerprint && this.isGood(caller.expires) ? user : undefined;
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
  const cookie = { name: COOKIE, value, maxAge, path: '/', httpOnly: true, sameSite: 'strict', secure } as const;
  return { 'set-cookie': stringifySetCookie(cookie) };
}

/** Stands for the user's password: another one has another. */
export function fingerprintOf(user: User): string {
  return hashSecret(user.password ?? '').slice(0, 16);
}
