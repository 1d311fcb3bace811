import { hashSecret, sameText } from '../../core/secrets.ts';
import type { Registry, Sensor } from '../../telemetry/registry.ts';

/** Who a connection belongs to, as the registry said when it was let in. */
export interface Identity {
  readonly sensor: string;
  readonly farm: string;
  readonly role: Sensor['role'];
  /** Absent when it showed a certificate. */
  readonly secretHash?: string | undefined;
}

/**
 * Who the credentials belong to, or undefined when they are wrong: username and password are the sensor's id and its secret,
 * or the username alone is the secret.
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
 * Who a client is whose certificate names `name`: the sensor of that id, whatever its secret. A username must be absent or the same id.
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

/** Whether the registry still says what it said when the identity was let in. */
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
