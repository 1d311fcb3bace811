import { ConfigInvalid, SecretUnopened } from '../core/errors.ts';
import { silent } from '../core/logger.ts';
import { keyIdIn, LONGEST_SECRET, type SecretKeys } from '../core/secret-key.ts';
import { KeptSecretKey } from '../roles/secret-key.ts';
import { type KeyedValue, keyedName, sealedKeys } from '../telemetry/registry/keyed.ts';
import type { Edit, Registry } from '../telemetry/registry/registry.ts';
import { KINDS } from '../telemetry/registry/things.ts';
import { askSecret } from './ask-secret.ts';
import { type Options, settingsOf } from './options.ts';
import { print, printError } from './output.ts';
import { editRegistry, withRegistry } from './registry.ts';

/** `loam secrets seal`: reads a secret from standard input, and prints it sealed for this place in the registry. */
export async function sealSecret(kind: string, id: string, key: string, options: Options): Promise<void> {
  const known = KINDS.flatMap((of) => sealedKeys(of).map((name) => `${of} ID ${name}`));
  if (!known.includes(`${kind} ID ${key}`)) {
    throw new ConfigInvalid('<key>', `<key>: nothing is sealed at ${kind} ${id} ${key}, allowed: ${known.join(', ')}`);
  }
  const keys = await keysOf(options);
  const secret = await askSecret(`${key} of ${kind} ${id}: `);
  const bytes = Buffer.byteLength(secret);
  if (bytes === 0 || bytes > LONGEST_SECRET) {
    throw new ConfigInvalid(key, `${key}: got ${bytes} bytes, allowed: 1 to ${LONGEST_SECRET}`);
  }
  print(`${keys.seal({ kind, id, key }, secret)}\n`);
}

/**
 * `loam secrets reseal`: seals with the first key what was sealed with another. What no key opens stays as it is. Says
 * what still needs a key other than the first; the exit code is then 1.
 */
export async function resealSecrets(options: Options): Promise<void> {
  const keys = await keysOf(options);
  let count = 0;
  let staying: readonly string[] = [];
  await editRegistry(settingsOf(options), (current) => {
    const resealed = resealedIn(current, keys);
    ({ count, staying } = resealed);
    return resealed.edits;
  });
  print(count === 0 ? 'Nothing was sealed anew.\n' : `${count} sealed anew, with the key ${keys.id}.\n`);
  for (const line of staying) printError(`loam: ${line}\n`);
  if (staying.length > 0) process.exitCode = 1;
}

/** LOAM_SECRET_KEY. Says what is off. Rejects with ConfigInvalid when there is no key. */
export async function keysOf(options: Options): Promise<SecretKeys> {
  const config = settingsOf(options);
  return await withRegistry(config, async (registry) => {
    const key = await KeptSecretKey.open(config, registry, silent);
    for (const { why } of key.health()) if (why !== undefined) printError(`loam: ${why}\n`);
    return await key.required();
  });
}

function resealedIn(current: Registry, keys: SecretKeys) {
  const changed = new Map<string, Edit & { readonly value: Readonly<Record<string, unknown>> }>();
  const staying: string[] = [];
  let count = 0;
  for (const value of current.keyedValues()) {
    const id = keyIdIn(value.text);
    if (id === keys.id) continue;
    const text = opened(value, keys);
    if (text === undefined) {
      staying.push(
        `${keyedName(value)} stays as it is: it needs ${id === undefined ? 'the key of its time' : `the key ${id}`}`,
      );
      continue;
    }
    const thing = `${value.kind} ${value.id}`;
    const before = changed.get(thing)?.value ?? current.get(value.kind, value.id);
    const edited = { ...before, [value.key]: keys.seal(value, text) };
    changed.set(thing, { kind: value.kind, id: value.id, value: edited });
    count++;
  }
  return { edits: [...changed.values()], staying, count };
}

/** What is sealed; undefined when no key opens it. A token is not sealed: nobody can make its HMAC anew but who shows it. */
function opened(value: KeyedValue, keys: SecretKeys): string | undefined {
  if (value.key === 'token') return undefined;
  try {
    return keys.open(value, value.text);
  } catch (error) {
    if (error instanceof SecretUnopened) return undefined;
    throw error;
  }
}
