import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { createSecureContext } from 'node:tls';
import { ConfigInvalid, explain } from '../../core/errors.ts';
import type { TemplatedApp, UwsModule } from './uws.ts';

/** A certificate with its chain, and its key, both in PEM. */
export interface TlsFiles {
  readonly cert: string;
  readonly key: string;
}

/**
 * Makes an app that speaks HTTPS. Throws ConfigInvalid, naming the setting, for files that cannot be read or do not
 * belong together: uWebSockets.js itself would only say that it failed.
 */
export function secureApp(uws: UwsModule, { cert, key }: TlsFiles): TemplatedApp {
  const pem = { cert: read('LOAM_HTTPS_CERT', cert), key: read('LOAM_HTTPS_KEY', key) };
  try {
    createSecureContext({ ...pem, minVersion: 'TLSv1.2' });
    // Without this check, a key of another kind (RSA, ECDSA) than the certificate's would fail only at a handshake.
    const isItsKey = new X509Certificate(pem.cert).checkPrivateKey(createPrivateKey(pem.key));
    if (!isItsKey) throw new Error('the key belongs to another certificate');
    return uws.SSLApp({ cert_file_name: cert, key_file_name: key });
  } catch (cause) {
    throw new ConfigInvalid(
      'LOAM_HTTPS_CERT',
      `LOAM_HTTPS_CERT: ${cert} and ${key} cannot be used: ${explain(cause)}`,
      {
        cause,
      },
    );
  }
}

function read(setting: string, file: string): Buffer {
  try {
    return readFileSync(file);
  } catch (cause) {
    throw new ConfigInvalid(setting, `${setting}: cannot read ${file}: ${explain(cause)}`, { cause });
  }
}
