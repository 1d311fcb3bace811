import type { RefusalNote } from '../../backbone/events/refusal-book.ts';
import { hashSecret } from '../../core/secrets.ts';
import { ID } from '../../telemetry/reading.ts';
import type { Registry } from '../../telemetry/registry/registry.ts';
import { type CertificateProblem, type Identity, sensorsNamed } from './identity.ts';

/** A refusal without whence it came. */
export type RefusalReason = Omit<RefusalNote, 'kind' | 'from'>;

/** A name that is longer and that nobody has may be a secret in the wrong place: only its beginning is shown. */
const MOST_STRANGE_NAME = 24;
const SHOWN_OF_NAME = 6;

/**
 * Why these credentials let nobody in, and whose device that is as far as it is certain. It is for those who look after
 * the installation: the client is told nothing of it.
 */
export function whyWrong(
  registry: Registry,
  username: string | undefined,
  password: Buffer | undefined,
): RefusalReason {
  if (!username) return { why: 'no_credentials' };
  const isKnown = sensorsNamed(registry, username).length > 0;
  if (password === undefined || password.length === 0) {
    // The name alone may be a secret.
    return isKnown ? { why: 'no_password', ...named(registry, username) } : { why: 'unknown_secret' };
  }
  if (isKnown) return { why: 'wrong_password', ...named(registry, username) };
  if (registry.sensorsBySecret.has(hashSecret(username))) return { why: 'secret_as_name' };
  return { why: 'unknown_name', ...named(registry, username) };
}

/** Why a certificate with this common name lets nobody in. */
export function whyNotCertified(registry: Registry, name: string, why: CertificateProblem): RefusalReason {
  return { why, ...named(registry, name), what: 'the name is that of its certificate' };
}

/** A client whose secret or certificate was right. */
export function ofIdentity({ farm, sensor }: Identity, why: string, what: string): RefusalReason {
  return { why, who: `${farm}/${sensor}`, farm, sensor, isKnown: true, what };
}

/**
 * The farm is certain when the name says it, or when there is only one. That just one of several farms has a sensor of
 * this id says nothing: the device may be one that another farm has not registered, and nobody is to learn from here which ids others have.
 */
function named(registry: Registry, name: string): Omit<RefusalReason, 'why'> {
  const sensors = sensorsNamed(registry, name);
  const isKnown = sensors.length > 0;
  const slash = name.indexOf('/');
  const [only] = registry.farms.size === 1 ? registry.farms.keys() : [];
  const farm = slash < 0 ? (only ?? '') : name.slice(0, slash);
  const id = name.slice(slash + 1);
  const isCertain = registry.farms.has(farm);
  const who =
    isKnown || (isCertain && slash >= 0) || name.length <= MOST_STRANGE_NAME
      ? name
      : `${name.slice(0, SHOWN_OF_NAME)}…`;
  if (!isCertain) return { who, isKnown };
  const sensor = ID.test(id) && (isKnown || slash >= 0) ? id : '';
  return { who, farm, sensor, isKnown };
}
