import { execFile } from 'node:child_process';
import { X509Certificate } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { type GenerateResult, generate } from 'selfsigned';
import { temporaryFolder } from '../services/wait.ts';

/** A certificate and its key in PEM, as a client or a server shows it. */
export interface Papers {
  readonly cert: string;
  readonly key: string;
}

type Extensions = NonNullable<Parameters<typeof generate>[1]>['extensions'];

/** A certificate authority of its own. */
export async function authority(name = 'Loam test CA'): Promise<Papers> {
  return papers(name, [
    { name: 'basicConstraints', cA: true, critical: true },
    { name: 'keyUsage', keyCertSign: true, cRLSign: true, critical: true },
  ]);
}

/** A certificate of `name`, signed by `ca`, or by itself; good from `from` to `to`. */
export async function signed(name: string, ca?: Papers, from?: Date, to?: Date): Promise<Papers> {
  const altNames = [
    { type: 2 as const, value: 'localhost' },
    { type: 7 as const, ip: '127.0.0.1' },
  ];
  return papers(name, [{ name: 'subjectAltName', altNames }], {
    ...(ca ? { ca } : {}),
    ...(from ? { notBeforeDate: from } : {}),
    ...(to ? { notAfterDate: to } : {}),
  });
}

/** Writes papers to a folder, where a broker is told to read them. */
export async function writePapers(folder: string, { cert, key }: Papers, ca?: Papers) {
  const files = { cert: join(folder, 'cert.pem'), key: join(folder, 'key.pem'), ca: join(folder, 'ca.pem') };
  await writeFile(files.cert, cert);
  await writeFile(files.key, key);
  if (ca) await writeFile(files.ca, ca.cert);
  return { cert: files.cert, key: files.key, ...(ca ? { ca: files.ca } : {}) };
}

async function papers(name: string, extensions: NonNullable<Extensions>, more: object = {}): Promise<Papers> {
  const options = { keyType: 'ec' as const, algorithm: 'sha256', extensions, ...more };
  const made: GenerateResult = await generate([{ name: 'commonName', value: name }], options);
  return { cert: made.cert, key: made.private };
}

/** The list of those certificates that `ca` has revoked, in PEM; made `agoS` seconds ago, it holds for `seconds` from now. */
export async function revocationList(
  ca: Papers,
  revoked: readonly Papers[],
  seconds = 3_600,
  agoS = 0,
): Promise<string> {
  const folder = await temporaryFolder();
  const at = (name: string) => join(folder, name);
  const lines = revoked.map(({ cert }) => {
    const { serialNumber } = new X509Certificate(cert);
    return `R\t491231235959Z\t200101000000Z\t${serialNumber}\tunknown\t/CN=revoked\n`;
  });
  await writeFile(at('ca.pem'), ca.cert);
  await writeFile(at('ca.key'), ca.key);
  await writeFile(at('index'), lines.join(''));
  await writeFile(at('config'), `[ca]\ndefault_ca = own\n[own]\ndatabase = ${at('index')}\ndefault_md = sha256\n`);
  const files = ['-config', at('config'), '-cert', at('ca.pem'), '-keyfile', at('ca.key'), '-out', at('crl.pem')];
  const made = `${new Date(Date.now() - agoS * 1_000).toISOString().replace(/[-:T]/g, '').slice(0, 14)}Z`;
  const times = [...(agoS > 0 ? ['-crl_lastupdate', made] : []), '-crlsec', String(agoS + seconds)];
  await promisify(execFile)('openssl', ['ca', '-gencrl', ...times, ...files]);
  return await readFile(at('crl.pem'), 'utf8');
}
