import { dirname } from 'node:path';
import type { KeptFolder } from '../backbone/repair/kept.ts';
import type { MendStep, RepairFinding } from '../backbone/repair/part.ts';
import type { Config } from '../core/config.ts';
import { explain } from '../core/errors.ts';
import type { Registry } from '../telemetry/registry/registry.ts';
import {
  demoSecretsPath,
  keptSecrets,
  readCredentials,
  readIfThere,
  SHORTEST_SECRET,
  secretKeyPath,
  simulatedSecretsPath,
} from './data-folder.ts';

/** Takes what is at a path away, and keeps it. */
export function moveAway(path: string, says: string, kept: () => Promise<KeptFolder>): MendStep {
  const run = async () => {
    await (await kept()).move(path);
    return says;
  };
  return { folder: dirname(path), bytes: 0, keeps: [path], run };
}

/** Secrets of ours are of these characters; what is not is no secret of ours, or a damaged one. */
const SECRET = /^[A-Za-z0-9_-]+$/;
/** The secret key may be followed by old ones. */
const SECRET_KEYS = /^[A-Za-z0-9_, -]+$/;
const MOST_NAMED = 5;

/** Looks at the secrets in the data folder, and what it means where they are damaged. */
export async function lookAtSecrets(
  config: Config,
  registry: Registry | undefined,
  kept: () => Promise<KeptFolder>,
): Promise<RepairFinding[]> {
  const findings: RepairFinding[] = [];
  const keyPath = secretKeyPath(config);
  for (const path of keptSecrets(config.data)) {
    const why = await whyNoSecret(path, path === keyPath ? SECRET_KEYS : SECRET);
    const part = path.slice(dirname(path).length + 1);
    if (why === 'absent') {
      if (path === keyPath) findings.push(...withoutKey(config, path, registry, 'it is not there', true));
    } else if (why === undefined) findings.push({ part, path, is: 'whole', text: 'a secret is in it' });
    else if (path === keyPath) findings.push(...withoutKey(config, path, registry, why, false));
    else findings.push(remade(config, part, path, why, kept));
  }
  for (const path of [demoSecretsPath(config), simulatedSecretsPath(config)]) {
    findings.push(...(await credentialsAt(path, kept)));
  }
  return findings;
}

/** Why there is no secret in a file; 'absent' when there is no file; undefined when there is one. */
async function whyNoSecret(path: string, form: RegExp): Promise<string | undefined> {
  try {
    const text = (await readIfThere(path))?.trim();
    if (text === undefined) return 'absent';
    if (text === '') return 'it is empty';
    if (text.length < SHORTEST_SECRET) return `it has fewer than ${SHORTEST_SECRET} characters`;
    return form.test(text) ? undefined : 'it has characters that no secret of Loam has';
  } catch (error) {
    return `it cannot be read: ${explain(error)}`;
  }
}

/** The session key and the token of the command line: the next start makes new ones. */
function remade(
  config: Config,
  part: string,
  path: string,
  why: string,
  kept: () => Promise<KeptFolder>,
): RepairFinding {
  const isSession = part === 'session-key';
  const given = isSession ? config.sessionKey : config.token;
  const means = isSession
    ? 'with a new one everybody signs in again'
    : 'with a new one, commands on this machine use that; who was given the old one needs the new one';
  const text = given === undefined ? `${why}: ${means}` : `${why}; it is not needed, for the setting gives one`;
  return {
    part,
    path,
    is: 'damaged',
    text,
    mend: moveAway(path, 'taken away; the next start makes a new one', kept),
  };
}

/** The secret key is never made anew: what the registry keeps by it would be of no use. */
function withoutKey(
  { secretKey }: Config,
  path: string,
  registry: Registry | undefined,
  why: string,
  isAbsent: boolean,
): RepairFinding[] {
  const keyed = registry?.keyed ?? [];
  const part = 'secret-key';
  if (secretKey !== undefined || keyed.length === 0) {
    if (isAbsent) return [];
    const text = `${why}; nothing needs it now: take it away before a token of a device is added`;
    return [{ part, path, is: 'note', text }];
  }
  const named = keyed.slice(0, MOST_NAMED).join(', ') + (keyed.length > MOST_NAMED ? ' and others' : '');
  const text = `${why}: restore it from a copy, or take out of the registry what is of no use without it: ${named}`;
  return [{ part, path, is: 'damaged', text }];
}

async function credentialsAt(path: string, kept: () => Promise<KeptFolder>): Promise<RepairFinding[]> {
  const part = path.slice(dirname(path).length + 1);
  try {
    const list = await readCredentials(path);
    return list === undefined ? [] : [{ part, path, is: 'whole', text: `secrets of ${list.length} simulated sensors` }];
  } catch (error) {
    const text = `${explain(error)}: simulated sensors of it cannot connect any more, and Loam does not start with it`;
    return [{ part, path, is: 'damaged', text, mend: moveAway(path, 'taken away', kept) }];
  }
}
