import { isDeepStrictEqual } from 'node:util';
import type { SecretKeys } from '../../core/secret-key.ts';
import { hashSecret, sameText } from '../../core/secrets.ts';
import type { Registry } from '../../telemetry/registry/registry.ts';
import type { Sensor } from '../../telemetry/registry/things.ts';
import { type ClientCertificate, isRevokedFor } from './client-certificate.ts';

/** The sensor or bridge that a connection belongs to, as it was in the registry when the client was let in. */
export interface Identity {
  readonly sensor: string;
  readonly farm: string;
  readonly role: Sensor['role'];
  /** What the registry keeps of the secret or token that the client showed. Absent when it showed a certificate. */
  readonly secretHash?: string | undefined;
  /** Of a client that showed a certificate, what the registry kept then: when that is replaced, its session ends as well. */
  readonly beside?: { readonly secret: string | undefined; readonly token: string | undefined };
}

/** Why a certificate or what was sent beside it lets nobody in. Log lines use these words. */
export type CertificateProblem =
  | 'no_such_sensor'
  | 'ambiguous_common_name'
  | 'other_user_name'
  | 'revoked_certificate'
  | 'ended_certificate';

/**
 * The identity that the credentials belong to; undefined when they are wrong. Either the username is the sensor's id, or
 * its farm and id as `farm/id`, and the password is its secret or token; or the username alone is the secret or token.
 * Several farms may have a sensor of one id: then the secret decides, which no two sensors share. `secretKeys` are
 * those of LOAM_SECRET_KEY; without one no token lets anybody in.
 */
export function identify(
  registry: Registry,
  username: string | undefined,
  password: Buffer | undefined,
  secretKeys?: SecretKeys,
): Identity | undefined {
  if (username === undefined) return undefined;
  const isAlone = password === undefined || password.length === 0;
  const shown = isAlone ? username : password.toString();
  const secretHash = hashSecret(shown);
  const tokenHashes = secretKeys?.everyKeptToken(shown) ?? [];
  if (isAlone) {
    const bySecret = registry.sensorsBySecret.get(secretHash);
    if (bySecret) return identityOf(bySecret, secretHash);
    const byToken = tokenHashes.flatMap((hash) => registry.sensorsByToken.get(hash) ?? [])[0];
    return byToken && identityOf(byToken, byToken.token);
  }
  // Every candidate is compared in both ways: the time of an answer must not tell what came near.
  let found: Identity | undefined;
  for (const sensor of sensorsNamed(registry, username)) {
    const isSecret = sameText(secretHash, sensor.secret ?? '');
    const kept = sensor.token ?? 'no token';
    const isToken = tokenHashes.filter((hash) => sameText(hash, kept)).length > 0;
    if (isSecret || isToken) found = identityOf(sensor, isSecret ? secretHash : kept);
  }
  return found;
}

/**
 * The identity of a client whose certificate has a common name: `farm/id`, or an id. An id means the only
 * sensor that has it, or of several the one that the registry marks with `cn: id`. Its secret is not asked for. The
 * username must be absent, empty, or name the same sensor.
 */
export function identifyCertified(
  registry: Registry,
  certificate: ClientCertificate,
  username: string | undefined,
): Identity | { readonly problem: CertificateProblem } {
  const { name } = certificate;
  const named = sensorsNamed(registry, name);
  const sensor = named.length === 1 ? named[0] : named.find(({ cn }) => cn === 'id');
  if (!sensor) return { problem: named.length === 0 ? 'no_such_sensor' : 'ambiguous_common_name' };
  if (isRevokedFor(sensor, certificate)) return { problem: 'revoked_certificate' };
  const { id, farm, role, secret, token } = sensor;
  if (username && username !== id && username !== `${farm}/${id}`) return { problem: 'other_user_name' };
  return { sensor: id, farm, role, beside: { secret, token } };
}

/** Whether the sensor's secret or token, and its role, are in the registry still those of the identity. */
export function stillHolds(identity: Identity, registry: Registry): boolean {
  const sensor = registry.sensor(identity.farm, identity.sensor);
  return (
    sensor !== undefined &&
    (identity.secretHash === undefined || [sensor.secret, sensor.token].includes(identity.secretHash)) &&
    (identity.beside === undefined ||
      isDeepStrictEqual(identity.beside, { secret: sensor.secret, token: sensor.token })) &&
    sensor.role === identity.role
  );
}

/** The sensors that `id` or `farm/id` may mean. Neither a farm's id nor a sensor's has a "/". */
export function sensorsNamed(registry: Registry, name: string): readonly Sensor[] {
  const slash = name.indexOf('/');
  if (slash < 0) return registry.sensorsWithId(name);
  const sensor = registry.sensor(name.slice(0, slash), name.slice(slash + 1));
  return sensor ? [sensor] : [];
}

function identityOf({ id, farm, role }: Sensor, secretHash: string | undefined): Identity {
  return { sensor: id, farm, role, secretHash };
}

/** The sensor whose sessions these are, as the registry has it as an id. */
export function ownerOf({ farm, sensor }: Pick<Identity, 'farm' | 'sensor'>): string {
  return `${farm}/${sensor}`;
}
