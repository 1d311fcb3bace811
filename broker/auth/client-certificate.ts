import type { X509Certificate } from 'node:crypto';
import { clock } from '../../core/clock.ts';
import type { Sensor } from '../../telemetry/registry/things.ts';

/** The certificate that a client showed, and that the CA has signed. */
export interface ClientCertificate {
  /** Its common name. */
  readonly name: string;
  /** Who issued it and its serial number, as in a revocation list. */
  readonly key: string;
  /** Hex digits in lower case, without zeros in front. */
  readonly serial: string;
  /** SHA-256 of the whole, likewise. */
  readonly fingerprint: string;
  /** Unix ms. */
  readonly validTo: number;
}

export function clientCertificate(name: string, key: string, certificate: X509Certificate): ClientCertificate {
  const { serialNumber, fingerprint256, validTo } = certificate;
  return {
    name,
    key,
    serial: plainHex(serialNumber),
    fingerprint: plainHex(fingerprint256),
    validTo: Date.parse(validTo),
  };
}

/** Whether the registry has the certificate on its sensor's list of those that let nobody in any more. */
export function isRevokedFor({ revoked = [] }: Sensor, { serial, fingerprint }: ClientCertificate): boolean {
  return revoked.some((text) => [serial, fingerprint].includes(plainHex(text)));
}

export function hasEnded({ validTo }: ClientCertificate): boolean {
  return clock.now() >= validTo;
}

/** As people write it: with colons or without, in upper or lower case, with zeros in front or not. */
function plainHex(text: string): string {
  return text.replaceAll(':', '').toLowerCase().replace(/^0+/, '');
}
