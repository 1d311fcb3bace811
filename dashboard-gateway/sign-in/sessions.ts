import { errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { hashSecret } from '../../core/secrets.ts';
import type { RegistryView, User } from '../../telemetry/registry.ts';
import { cookieValue, type Headers } from '../http/request.ts';

export const SESSION_MS = 12 * 3_600_000;
const RENEW_AFTER_MS = 3_600_000;
const COOKIE = 'loam';
const ISSUER = 'loam';

/** Who is calling, and until when that was shown. */
export interface Caller {
  readonly user: User;
  /** Names the password that the session was opened under. */
  readonly fingerprint: string;
  /** Unix ms. */
  readonly expires: number;
  /** Whether the session is old enough for a fresh cookie. */
  readonly renew: boolean;
}

const claims = z.object({ sub: z.string(), iat: z.number(), exp: z.number(), pwd: z.string() });

/**
 * Sessions are signed tokens that nobody stores: any gateway with the same key takes them.
 * A token names the user's password by a fingerprint, so a new password ends the sessions before it; so does removing the user.
 */
export class Sessions {
  private readonly key: Uint8Array;
  private readonly registry: RegistryView;
  private readonly now: () => number;

  constructor(key: string, registry: RegistryView, now: () => number) {
    this.key = new TextEncoder().encode(key);
    this.registry = registry;
    this.now = now;
  }

  /** A token for `user`, good for 12 hours. */
  issue(user: User): Promise<string> {
    const seconds = Math.floor(this.now() / 1000);
    return new SignJWT({ pwd: fingerprintOf(user) })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer(ISSUER)
      .setSubject(user.name)
      .setIssuedAt(seconds)
      .setExpirationTime(seconds + SESSION_MS / 1000)
      .sign(this.key);
  }

  /** The `Set-Cookie` header that carries a fresh token for `user`. */
  async cookie(user: User): Promise<{ 'set-cookie': string }> {
    return setCookie(await this.issue(user), SESSION_MS / 1000);
  }

  /** Who sent a request with these headers, or undefined. */
  async caller(headers: Pick<Headers, 'cookie' | 'authorization'>): Promise<Caller | undefined> {
    const bearer = /^Bearer ([\w.-]+)$/i.exec(headers.authorization)?.[1];
    const token = bearer ?? cookieValue(headers.cookie, COOKIE);
    if (!token) return undefined;
    const claim = await this.verify(token);
    const user = claim && this.registry.current().users.get(claim.sub);
    if (!user || fingerprintOf(user) !== claim.pwd) return undefined;
    const renew = bearer === undefined && this.now() - claim.iat * 1000 > RENEW_AFTER_MS;
    return { user, fingerprint: claim.pwd, expires: claim.exp * 1000, renew };
  }

  /** The user of a session that is still good, as the registry has it now; undefined when it has ended. */
  stillGood(caller: Caller): User | undefined {
    const user = this.registry.current().users.get(caller.user.name);
    return user && fingerprintOf(user) === caller.fingerprint && caller.expires > this.now() ? user : undefined;
  }

  private async verify(token: string): Promise<z.infer<typeof claims> | undefined> {
    try {
      const options = { algorithms: ['HS256'], issuer: ISSUER, currentDate: new Date(this.now()) };
      const { payload } = await jwtVerify(token, this.key, options);
      return claims.safeParse(payload).data;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }
}

/** The `Set-Cookie` header that takes the session away. */
export function clearedCookie(): { 'set-cookie': string } {
  return setCookie('', 0);
}

function setCookie(value: string, maxAge: number): { 'set-cookie': string } {
  return { 'set-cookie': `${COOKIE}=${value}; Path=/; Max-Age=${maxAge}; HttpOnly; SameSite=Strict` };
}

function fingerprintOf(user: User): string {
  return hashSecret(user.password ?? '').slice(0, 16);
}
