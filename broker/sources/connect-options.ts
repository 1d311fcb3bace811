import type { IClientOptions } from 'mqtt';
import { secretVariable } from '../../core/config.ts';
import { ConfigInvalid, SecretUnopened } from '../../core/errors.ts';
import type { SecretKeys } from '../../core/secret-key.ts';
import type { Source as Description } from '../../telemetry/registry/sources.ts';
import { sourceFile } from './source-file.ts';
import type { LineSecrets } from './source-line.ts';

/** How long a source may take to answer CONNECT, and after how many seconds of silence it gets a ping. */
export interface SourceTimeouts {
  readonly connectMs: number;
  readonly keepaliveS: number;
}
export const SOURCE_TIMEOUTS: SourceTimeouts = { connectMs: 10_000, keepaliveS: 30 };

export function clientIdOf({ id, clientId = `loam-${id}` }: Description): string {
  return clientId;
}

/**
 * Reads secrets and certificates for each connection: they may be new. Rejects with ConfigInvalid, which names the place,
 * or with SecretUnopened.
 */
export async function optionsOf(
  source: Description,
  { keepaliveS: keepalive, connectMs: connectTimeout }: SourceTimeouts,
  keys: SecretKeys | undefined,
  signal: AbortSignal,
): Promise<{ secrets: LineSecrets; options: IClientOptions }> {
  const { id, username } = source;
  const password = await passwordOf(source, keys, signal);
  const [ca, cert, key] = await Promise.all(
    [source.ca, source.cert, source.key].map((path) => (path ? sourceFile(id, path, signal) : undefined)),
  );
  const options: IClientOptions = {
    clientId: clientIdOf(source),
    clean: false,
    protocolVersion: 4,
    keepalive,
    connectTimeout,
    reconnectPeriod: 0,
    ...(username === undefined ? {} : { username }),
    ...(password === undefined ? {} : { password }),
  };
  return { secrets: { ca, cert, key }, options };
}

async function passwordOf(
  { id, password: sealed, passwordFile, passwordVariable }: Description,
  keys: SecretKeys | undefined,
  signal: AbortSignal,
): Promise<string | undefined> {
  if (sealed !== undefined) {
    if (keys === undefined) throw new SecretUnopened(`password of source ${id}: LOAM_SECRET_KEY is missing`);
    return keys.open({ kind: 'source', id, key: 'password' }, sealed);
  }
  if (passwordFile !== undefined) return (await sourceFile(id, passwordFile, signal)).toString().trimEnd();
  if (passwordVariable === undefined) return undefined;
  const password = secretVariable(passwordVariable);
  if (password === undefined) throw new ConfigInvalid(passwordVariable, `source ${id}: ${passwordVariable} is not set`);
  return password;
}
