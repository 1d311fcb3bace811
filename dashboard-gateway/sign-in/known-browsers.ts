import { parseCookie, stringifySetCookie } from 'cookie';
import { errors, jwtVerify, SignJWT } from 'jose';
import { z } from 'zod';
import { hashSecret, newSecret } from '../../core/secrets.ts';
import type { User } from '../../telemetry/registry/things.ts';
import { fingerprintOf } from './sessions.ts';

const GOOD_FOR_S = 180 * 24 * 3_600;
const ISSUER = 'loam-browser';

const knownClaims = z.object({ jti: z.string().min(1).max(64), pwd: z.string() });

/**
 * Browsers that a user was signed in with before, by a signed cookie for each user. It opens nothing. It says that wrong
 * passwords of strangers are not this browser's, so that they do not slow it down. Its own wrong passwords are counted
 * by its id. A new password ends it.
 */
export class KnownBrowsers {
  private readonly key: Uint8Array;
  private readonly now: () => number;

  /** `key` signs the cookies; the same on every gateway. `now`: Unix ms. */
  constructor(key: string, now: () => number) {
    this.key = new TextEncoder().encode(key);
    this.now = now;
  }

  /** The value of a `Set-Cookie` header with which the browser is known for `user`. `secure`: the client speaks TLS. */
  async cookie(user: User, { secure }: { secure: boolean }): Promise<string> {
    const seconds = Math.floor(this.now() / 1000);
    const value = await new SignJWT({ pwd: fingerprintOf(user) })
      .setProtectedHeader({ alg: 'HS256' })
      .setIssuer(ISSUER)
      .setSubject(user.name)
      .setJti(newSecret())
      .setIssuedAt(seconds)
      .setExpirationTime(seconds + GOOD_FOR_S)
      .sign(this.key);
    // For signing in only: no other request carries it.
    const cookie = { name: nameFor(user.name), value, maxAge: GOOD_FOR_S, path: '/api/login' } as const;
    return stringifySetCookie({ ...cookie, httpOnly: true, sameSite: 'strict', secure });
  }

  /** The id of the browser that sent these cookies, when `user` was signed in with it and has the same password still. */
  async idOf(user: User | undefined, cookies: string): Promise<string | undefined> {
    const value = user && parseCookie(cookies)[nameFor(user.name)];
    if (!value) return undefined;
    try {
      const { payload } = await jwtVerify(value, this.key, {
        algorithms: ['HS256'],
        issuer: ISSUER,
        subject: user.name,
        currentDate: new Date(this.now()),
      });
      const claim = knownClaims.safeParse(payload).data;
      return claim?.pwd === fingerprintOf(user) ? claim.jti : undefined;
    } catch (error) {
      if (error instanceof errors.JOSEError) return undefined;
      throw error;
    }
  }
}

/** Users share a browser. A user's name may have characters that a cookie's may not. */
function nameFor(user: string): string {
  return `loam-browser-${hashSecret(user).slice(0, 12)}`;
}
