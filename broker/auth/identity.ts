import { hashSecret, sameText } from '../../core/secrets.ts';
import type { Registry, Sensor } from '../../telemetry/registry.ts';

/** The sensor or bridge that a connection belongs to, as it was in the registry when the client was let in. */
export interface Identity {
  readonly sensor: string;
  readonly farm: string;
  readonly role: Sensor['role'];
  /** Absent when the client showed a certificate. */
  readonly secretHash?: string | undefined;
}

/**
 * The identity that the credentials belong to; undefined when they are wrong. Either username and password are the
 * sensor's id and its secret, or the username alone is the secret.
 */
export function identify(
  registry: Registry,
  username: string | undefined,
  password: Buffer | undefined,
): Identity | undefined {
  if (username === undefined) return undefined;
  if (password === undefined || password.length === 0) {
    const sensor = registry.sensorsBySecret.get(hashSecret(username));
    return sensor && identityOf(sensor);
  }
  const sensor = registry.sensors.get(username);
  if (sensor?.secret === undefined || !sameText(hashSecret(password.toString()), sensor.secret)) return undefined;
  return identityOf(sensor);
}

/**
 * The identity of a client whose certificate has the common name `name`: the sensor with that id. Its secret is not
 * asked for. The username must be absent, empty or the same id.
 */
export function identifyCertified(
  registry: Registry,
  name: string,
  username: string | undefined,
): Identity | undefined {
  const sensor = registry.sensors.get(name);
  if (!sensor || (username !== undefined && username !== '' && username !== name)) return undefined;
  return { sensor: sensor.id, farm: sensor.farm, role: sensor.role };
}

/** Whether the sensor's secret, farm and role in the registry are still those of the identity. */
export function stillHolds(identity: Identity, registry: Registry): boolean {
  const sensor = registry.sensors.get(identity.sensor);
  return (
    sensor !== undefined &&
    (identity.secretHash === undefined || sensor.secret === identity.secretHash) &&
    sensor.farm === identity.farm &&
    sensor.role === identity.role
  );
}

function identityOf(sensor: Sensor): Identity {
  return { sensor: sensor.id, farm: sensor.farm, role: sensor.role, secretHash: sensor.secret };
}
