import type { X509Certificate } from 'node:crypto';
import { derTime, derValues, GENERALIZED_TIME, INTEGER, inSequence, SEQUENCE, UTC_TIME } from './der.ts';

/** Every block has one of each; a file that was cut off while it was written does not. */
const EDGE = /-----(?:BEGIN|END) X509 CRL-----/g;
const BLOCK = /-----BEGIN X509 CRL-----([A-Za-z0-9+/=\s]*)-----END X509 CRL-----/g;

/** What certificate authorities have revoked, as a file of CRLs (RFC 5280) says. */
export interface RevocationLists {
  /** Each CRL in PEM, for TLS: it checks the signatures. */
  readonly pems: readonly string[];
  /** Certificates by `certificateKey`. */
  readonly revoked: ReadonlySet<string>;
  /** When the newest list of each issuer was made, Unix ms. */
  readonly made: ReadonlyMap<string, number>;
  /** When the first of them ends, Unix ms; undefined when none says so. */
  readonly validTo: number | undefined;
}

/** Reads the CRLs of a file. Throws an Error when there is none, or one is damaged or cut off. */
export function readRevocationLists(text: string): RevocationLists {
  const pems: string[] = [];
  const revoked = new Set<string>();
  const made = new Map<string, number>();
  let validTo: number | undefined;
  for (const [pem, base64 = ''] of text.matchAll(BLOCK)) {
    const list = readList(Buffer.from(base64, 'base64'));
    pems.push(pem);
    for (const key of list.revoked) revoked.add(key);
    made.set(list.issuer, Math.max(list.made, made.get(list.issuer) ?? list.made));
    if (list.validTo !== undefined) validTo = Math.min(list.validTo, validTo ?? list.validTo);
  }
  if (pems.length === 0) throw new Error('there is no CRL in it');
  if ([...text.matchAll(EDGE)].length !== 2 * pems.length) throw new Error('a CRL in it is cut off');
  return { pems, revoked, made, validTo };
}

/**
 * Throws an Error when `next` has an older list of some issuer than `before`: whoever puts an old file back, a backup or
 * an attacker, must not let in again what was revoked since.
 */
export function refuseOlder(before: RevocationLists, next: RevocationLists): void {
  for (const [issuer, made] of next.made) {
    const known = before.made.get(issuer);
    if (known === undefined || made >= known) continue;
    const [is, was] = [made, known].map((at) => new Date(at).toISOString());
    throw new Error(`a CRL in it was made at ${is}, and the one in force later, at ${was}`);
  }
}

/** The key of a certificate: who issued it, and its serial number. */
export function certificateKey({ raw }: X509Certificate): string {
  const [certificate] = derValues(raw);
  const [signed] = inSequence(raw, certificate);
  const fields = inSequence(raw, signed);
  // The version is left out of the oldest certificates.
  const at = fields[0]?.tag === INTEGER ? 0 : 1;
  const [serial, , issuer] = fields.slice(at, at + 3);
  if (serial?.tag !== INTEGER || issuer?.tag !== SEQUENCE) throw new Error('this is no certificate');
  return keyOf(raw.subarray(issuer.at, issuer.to), raw.subarray(serial.from, serial.to));
}

interface RevocationList {
  readonly issuer: string;
  readonly made: number;
  readonly validTo: number | undefined;
  readonly revoked: readonly string[];
}

function readList(bytes: Buffer): RevocationList {
  const [list] = derValues(bytes);
  const [signed] = inSequence(bytes, list);
  const fields = inSequence(bytes, signed);
  // Version (only from 2 on), algorithm, issuer, this update, next update (if any), revoked certificates (if any), extensions.
  const [, issuer, update, ...more] = fields[0]?.tag === INTEGER ? fields.slice(1) : fields;
  if (issuer?.tag !== SEQUENCE || update === undefined) throw new Error('its issuer or time is missing');
  const [next] = more;
  const hasEnd = next?.tag === UTC_TIME || next?.tag === GENERALIZED_TIME;
  const entries = more[hasEnd ? 1 : 0];
  const issuerBytes = bytes.subarray(issuer.at, issuer.to);
  const revoked = entries?.tag === SEQUENCE ? inSequence(bytes, entries) : [];
  return {
    issuer: issuerBytes.toString('base64'),
    made: derTime(bytes, update),
    validTo: hasEnd ? derTime(bytes, next) : undefined,
    revoked: revoked.map((entry) => {
      const [serial] = inSequence(bytes, entry);
      if (serial?.tag !== INTEGER) throw new Error('a serial number is missing');
      return keyOf(issuerBytes, bytes.subarray(serial.from, serial.to));
    }),
  };
}

function keyOf(issuer: Buffer, serial: Buffer): string {
  return `${issuer.toString('base64')} ${serial.toString('hex')}`;
}
