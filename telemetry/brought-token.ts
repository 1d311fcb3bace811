import type { SecretKeys } from '../core/secret-key.ts';
import { hashSecret } from '../core/secrets.ts';
import type { Registry } from './registry/registry.ts';
import type { Sensor } from './registry/things.ts';

/**
 * A token that a device came with and that cannot be changed. It was not made here, so it may be weaker than a secret of
 * Loam's: the registry keeps it as an HMAC, which nobody can guess at without LOAM_SECRET_KEY.
 */

/**
 * Why a token is not taken. It is one text for one that is weak and for one that a sensor of any farm has, so that the
 * answer does not tell whether another farm has it.
 */
export const TOKEN_REFUSED =
  'a token has 20 to 128 characters, none of them a space, and must be hard to guess: give another one';

const LENGTH = /^[^\s\p{C}\p{Z}]{20,128}$/u;
const LEAST_DIFFERENT = 5;
/** A token that repeats so few characters again and again has no more in it than these. */
const LONGEST_REPEATED = 8;
/** The share of neighbours that are equal or follow each other (`aaa`, `123`, `cba`); by chance it is a quarter at most. */
const MOST_IN_SEQUENCE = 0.75;

/** Whether a token is long enough, has no spaces and control characters, and cannot be guessed at first sight. */
export function isStrongToken(token: string): boolean {
  if (!LENGTH.test(token) || new Set(token).size < LEAST_DIFFERENT) return false;
  for (let period = 1; period <= LONGEST_REPEATED; period++) {
    if (token.slice(period) === token.slice(0, -period)) return false;
  }
  const codes = [...token].map((character) => character.codePointAt(0) ?? 0);
  const inSequence = codes.filter((code, i) => i > 0 && Math.abs(code - (codes[i - 1] ?? 0)) <= 1).length;
  return inSequence <= (codes.length - 1) * MOST_IN_SEQUENCE;
}

/**
 * What the registry keeps of a token, by LOAM_SECRET_KEY; undefined when the token is weak, or when a sensor
 * other than `owner` signs in with it, as its token or as its secret.
 */
export function keptToken(
  registry: Registry,
  token: string,
  keys: SecretKeys,
  owner: Pick<Sensor, 'farm' | 'id'>,
): string | undefined {
  if (!isStrongToken(token)) return undefined;
  const byToken = keys.everyKeptToken(token).map((kept) => registry.sensorsByToken.get(kept));
  const others = [...byToken, registry.sensorsBySecret.get(hashSecret(token))];
  const isTaken = others.some((one) => one !== undefined && (one.farm !== owner.farm || one.id !== owner.id));
  return isTaken ? undefined : keys.keptToken(token);
}
