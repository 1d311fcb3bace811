import { createCipheriv, createDecipheriv, createHmac, hkdfSync, randomBytes } from 'node:crypto';
import { SecretUnopened } from './errors.ts';

/** Shortest key, in characters, and most keys that are given at once. */
export const SHORTEST_KEY = 32;
const MOST_KEYS = 20;
/** Longest text that is sealed, in bytes. */
export const LONGEST_SECRET = 4096;

const CIPHER = 'aes-256-gcm';
const IV_BYTES = 12;
const TAG_BYTES = 16;
const ID_BYTES = 4;
/** `sealed:`, the id of the key, and in base64url the IV, the encrypted text and the tag. */
const SEALED = /^sealed:([0-9a-f]{8}):([A-Za-z0-9_-]{38,5500})$/;
/** What is kept of a token: the id of the key, and the HMAC. Earlier versions kept the HMAC alone. */
export const KEPT_TOKEN = /^(?:[0-9a-f]{8}\.)?[0-9a-f]{64}$/;

/** The installation's secret key, LOAM_SECRET_KEY: what the registry keeps of tokens, and what is sealed in it, is of use only with it. */
export interface SecretKey {
  /** The key, and the old ones; undefined while there is none. */
  current(): SecretKeys | undefined;
  /**
   * Resolves with the key. Rejects with ConfigInvalid when there is none: it is not made here, for what one process makes
   * with a key of its own no other one could use.
   */
  required(): Promise<SecretKeys>;
}

/** A place in the registry: what is sealed for one does not open at another. */
export interface SealedPlace {
  readonly kind: string;
  /** Of the thing. */
  readonly id: string;
  /** Of the value in the thing. */
  readonly key: string;
}

interface DerivedKey {
  readonly id: string;
  readonly text: string;
  readonly bytes: Buffer;
}

/** The keys of LOAM_SECRET_KEY: the first makes everything that is new, and the others open what was made with them. */
export class SecretKeys {
  private readonly first: DerivedKey;
  private readonly all: readonly DerivedKey[];

  /** Of a text that `areSecretKeys` takes. */
  constructor(text: string) {
    const [first = '', ...others] = splitKeys(text);
    this.first = derived(first);
    this.all = [this.first, ...others.map(derived)];
  }

  /** The id of the first key. An id tells nothing about its key. */
  get id(): string {
    return this.first.id;
  }

  has(id: string): boolean {
    return this.all.some((key) => key.id === id);
  }

  /**
   * What the registry keeps of a token that a device came with: the key's id, and its HMAC-SHA-256 in hex. Such a token
   * may not be random, and a plain hash of it could be guessed by who reads the registry's file.
   */
  keptToken(token: string): string {
    return `${this.first.id}.${hmac(token, this.first)}`;
  }

  /** Everything that the registry may keep of a token, by each of the keys, and as earlier versions kept it. */
  everyKeptToken(token: string): readonly string[] {
    return this.all.flatMap((key) => {
      const hash = hmac(token, key);
      return [`${key.id}.${hash}`, hash];
    });
  }

  /** Seals a text of at most `LONGEST_SECRET` bytes for a place. */
  seal(place: SealedPlace, text: string): string {
    const iv = randomBytes(IV_BYTES);
    const cipher = createCipheriv(CIPHER, this.first.bytes, iv).setAAD(boundTo(place));
    const parts = [iv, cipher.update(text, 'utf8'), cipher.final()];
    return `sealed:${this.first.id}:${Buffer.concat([...parts, cipher.getAuthTag()]).toString('base64url')}`;
  }

  /** The text that was sealed for this place. Throws SecretUnopened when none of the keys opens it. */
  open(place: SealedPlace, sealed: string): string {
    const [, id, data = ''] = SEALED.exec(sealed) ?? [];
    const key = this.all.find((one) => one.id === id);
    const named = `${place.key} of ${place.kind} ${place.id}`;
    if (key === undefined) {
      throw new SecretUnopened(`${named}: it needs the key ${id}, which is not among those of LOAM_SECRET_KEY`);
    }
    const bytes = Buffer.from(data, 'base64url');
    try {
      const decipher = createDecipheriv(CIPHER, key.bytes, bytes.subarray(0, IV_BYTES), { authTagLength: TAG_BYTES });
      decipher.setAAD(boundTo(place)).setAuthTag(bytes.subarray(-TAG_BYTES));
      return decipher.update(bytes.subarray(IV_BYTES, -TAG_BYTES), undefined, 'utf8') + decipher.final('utf8');
    } catch (cause) {
      throw new SecretUnopened(`${named}: it was sealed for another place, or is damaged`, { cause });
    }
  }
}

/** Whether a text is a key, or several with commas between them. */
export function areSecretKeys(text: string): boolean {
  const keys = splitKeys(text);
  return keys.length <= MOST_KEYS && keys.every((key) => key.length >= SHORTEST_KEY);
}

export function isSealed(text: string): boolean {
  return SEALED.test(text);
}

/** The id of the key that a sealed text or a kept token was made with; undefined for a token that does not tell it. */
export function keyIdIn(text: string): string | undefined {
  return SEALED.exec(text)?.[1] ?? /^([0-9a-f]{8})\./.exec(text)?.[1];
}

function splitKeys(text: string): string[] {
  return text.split(',').map((key) => key.trim());
}

function derived(text: string): DerivedKey {
  const part = (what: string, bytes: number) => Buffer.from(hkdfSync('sha256', text, '', `loam ${what}`, bytes));
  return { text, id: part('key id', ID_BYTES).toString('hex'), bytes: part('sealed values', 32) };
}

function hmac(token: string, { text }: DerivedKey): string {
  return createHmac('sha256', text).update(token).digest('hex');
}

function boundTo({ kind, id, key }: SealedPlace): Buffer {
  return Buffer.from(JSON.stringify([kind, id, key]));
}
