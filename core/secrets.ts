import { createHash, randomBytes, scrypt, timingSafeEqual } from 'node:crypto';

const SCRYPT_COST = 2 ** 15;
const KEY_BYTES = 32;

/** A new random secret of 192 bits, safe in URLs, MQTT and YAML. */
export function newSecret(): string {
  return randomBytes(24).toString('base64url');
}

/**
 * What the registry keeps of a sensor's secret: its SHA-256 in hex. A fast hash is enough because the secret is random,
 * and it is needed because after a power cut every sensor signs in at once.
 */
export function hashSecret(secret: string): string {
  return createHash('sha256').update(secret).digest('hex');
}

/** Whether two texts are equal, in a time that tells nothing about where they differ. */
export function sameText(a: string, b: string): boolean {
  return timingSafeEqual(createHash('sha256').update(a).digest(), createHash('sha256').update(b).digest());
}

/** What the registry keeps of a person's password: `scrypt$cost$salt$key`, slow to guess. */
export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(16);
  const key = await derive(password, salt, SCRYPT_COST);
  return `scrypt$${SCRYPT_COST}$${salt.toString('base64url')}$${key.toString('base64url')}`;
}

/** Whether `password` is the one that `hash` was made from. False for a hash of another form. */
export async function verifyPassword(password: string, hash: string): Promise<boolean> {
  const parts = PASSWORD_HASH.exec(hash);
  const [, cost = '', salt = '', key = ''] = parts ?? [];
  if (!parts) return false;
  const wanted = Buffer.from(key, 'base64url');
  const given = await derive(password, Buffer.from(salt, 'base64url'), Number(cost));
  return wanted.length === given.length && timingSafeEqual(wanted, given);
}

/** The form of a password's hash in the registry. */
export const PASSWORD_HASH = /^scrypt\$(16384|32768|65536|131072)\$([A-Za-z0-9_-]{22})\$([A-Za-z0-9_-]{43})$/;

function derive(password: string, salt: Buffer, cost: number): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const options = { cost, blockSize: 8, parallelization: 1, maxmem: 256 * cost * 8 };
    scrypt(password.normalize('NFKC'), salt, KEY_BYTES, options, (error, key) => {
      if (error) reject(error);
      else resolve(key);
    });
  });
}
