import { access, constants, lstat, readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { z } from 'zod';
import { lockBy } from '../backbone/files/folder-lock.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import { makeFolder } from '../core/make-folder.ts';
import { replaceFile } from '../core/replace-file.ts';
import { newSecret } from '../core/secrets.ts';
import type { DemoCredential } from '../simulators/demo.ts';

const credentials = z.array(
  z.strictObject({ id: z.string(), farm: z.string(), secret: z.string(), kind: z.string(), seed: z.number() }),
);

/** Makes the data folder where it is missing. Rejects with ConfigInvalid when it cannot be made or written. */
export async function prepareDataFolder(config: Config): Promise<void> {
  try {
    await makeFolder(config.data, 0o700);
    await access(config.data, constants.W_OK);
  } catch (cause) {
    throw new ConfigInvalid('LOAM_DATA', `LOAM_DATA: cannot write to ${config.data}: ${explain(cause)}`, { cause });
  }
}

/**
 * Takes the data folder for `loam up`, which shares it with no other `loam up`; resolves with the function that gives it
 * back. Roles in processes of their own keep only their secrets there, and may share it. Rejects with ConfigInvalid.
 */
export async function lockDataFolder({ data }: Config): Promise<() => Promise<void>> {
  try {
    return await lockBy(join(data, DATA_LOCK), data);
  } catch (cause) {
    throw new ConfigInvalid('LOAM_DATA', `LOAM_DATA: ${explain(cause)}`, { cause });
  }
}

/** The key that signs sign-ins: from the setting, or else made at the first start and kept in the data folder. */
export async function sessionKey(config: Config): Promise<string> {
  return config.sessionKey ?? (await keptSecret(config, SESSION_KEY, () => newSecret() + newSecret()));
}

/**
 * The token that the gateway accepts as admin of every farm: from the setting, or else made at the first start and kept
 * in the data folder.
 */
export async function adminToken(config: Config): Promise<string> {
  return config.token ?? (await keptSecret(config, ADMIN_TOKEN, newSecret));
}

/** The token with which a command signs in to a running Loam. Rejects with ConfigInvalid when there is none. */
export async function commandToken(config: Config): Promise<string> {
  if (config.token !== undefined) return config.token;
  const path = join(config.data, ADMIN_TOKEN);
  let kept: string | undefined;
  try {
    kept = await readIfThere(path);
  } catch (cause) {
    throw new ConfigInvalid('LOAM_TOKEN', `LOAM_TOKEN: is not set, and ${path} cannot be read: ${explain(cause)}`, {
      cause,
    });
  }
  if (kept !== undefined) return kept;
  throw new ConfigInvalid(
    'LOAM_TOKEN',
    `LOAM_TOKEN: is not set, and ${path} is not there: start Loam first, or set LOAM_DATA to its data folder`,
  );
}

/** The files in which an installation keeps its secrets, from its first start on. */
export function keptSecrets(data: string): string[] {
  return [join(data, ADMIN_TOKEN), join(data, SESSION_KEY), join(data, SECRET_KEY)];
}

/** Where LOAM_SECRET_KEY is kept when it is not set. */
export function secretKeyPath({ data }: Config): string {
  return join(data, SECRET_KEY);
}

/** Not the lock file of a folder with an embedded part: that may be the data folder itself. */
export const DATA_LOCK = 'loam.lock';
const ADMIN_TOKEN = 'admin-token';
const SESSION_KEY = 'session-key';
const SECRET_KEY = 'secret-key';
export const SHORTEST_SECRET = 32;

/** A secret in a file that only its owner can read; made when there is none. Rejects with ConfigInvalid. */
async function keptSecret(config: Config, file: string, make: () => string): Promise<string> {
  await prepareDataFolder(config);
  const path = join(config.data, file);
  try {
    const kept = await readIfThere(path);
    if (kept !== undefined && kept.length >= SHORTEST_SECRET) return kept;
    const made = make();
    await replaceFile(path, made);
    return made;
  } catch (cause) {
    throw new ConfigInvalid('LOAM_DATA', `LOAM_DATA: cannot keep a secret in ${path}: ${explain(cause)}`, { cause });
  }
}

/** Writes a new registry file. Rejects with ConfigInvalid when it cannot be written. */
export async function createRegistry(path: string, text: string): Promise<void> {
  try {
    await makeFolder(dirname(path));
    await replaceFile(path, text);
  } catch (cause) {
    throw new ConfigInvalid('LOAM_REGISTRY', `LOAM_REGISTRY: cannot write ${path}: ${explain(cause)}`, { cause });
  }
}

/** Whether anything exists at `path`, even a link without a target. Rejects with ConfigInvalid when it cannot tell. */
export async function isThere(path: string): Promise<boolean> {
  try {
    await lstat(path);
    return true;
  } catch (cause) {
    if (cause instanceof Error && 'code' in cause && cause.code === 'ENOENT') return false;
    throw new ConfigInvalid('LOAM_REGISTRY', `LOAM_REGISTRY: cannot look for ${path}: ${explain(cause)}`, { cause });
  }
}

/** The text of a file, or undefined when it is not there. */
export async function readIfThere(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, 'utf8');
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 'ENOENT') return undefined;
    throw error;
  }
}

/** Where the demo sensors' secrets are kept: the registry holds only their hashes. */
export function demoSecretsPath(config: Config): string {
  return join(config.data, 'demo-secrets.json');
}

/** Where the secrets of sensors are kept that `loam simulate --provision` registered. */
export function simulatedSecretsPath(config: Config): string {
  return join(config.data, 'simulated-secrets.json');
}

/** Keeps simulated sensors' secrets, readable by the owner alone. */
export async function writeCredentials(path: string, list: readonly DemoCredential[]): Promise<void> {
  await replaceFile(path, `${JSON.stringify(list, null, 2)}\n`);
}

/**
 * Sensors and their secrets from a JSON file; undefined when there is none. Rejects with ConfigInvalid for other
 * content.
 */
export async function readCredentials(path: string): Promise<DemoCredential[] | undefined> {
  const text = await readIfThere(path);
  if (text === undefined) return undefined;
  try {
    return credentials.parse(JSON.parse(text));
  } catch (cause) {
    throw new ConfigInvalid('--secrets', `${path}: not a list of sensors and secrets: ${explain(cause)}`, { cause });
  }
}
