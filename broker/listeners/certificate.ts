import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext, type SecureContextOptions } from 'node:tls';
import { clock } from '../../core/clock.ts';
import { ConfigInvalid, explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { type RevocationLists, readRevocationLists, refuseOlder } from './revocation-list.ts';

/** The PEM files of the certificate. */
export interface CertificateFiles {
  /** The certificate, and the intermediate ones between it and its root. */
  readonly cert: string;
  readonly key: string;
  /** The CA that signs the certificates of clients. Absent: clients are not asked for one. */
  readonly ca?: string | undefined;
  /** What that CA, and those between it and the clients' certificates, have revoked: CRLs. */
  readonly crl?: string | undefined;
}

interface LoadedCertificate {
  readonly texts: readonly string[];
  readonly context: SecureContextOptions;
  /** Unix ms. */
  readonly validTo: number;
  readonly lists: RevocationLists | undefined;
}

const POLL_MS = 2_000;
const DAY_MS = 86_400_000;
const WARN_DAYS = 14;
/** Revocation lists are made anew every few days or weeks. */
const WARN_LIST_MS = DAY_MS;

/**
 * The broker's TLS certificate. Its files are read again when they change, so a renewed certificate is used without a
 * restart. A renewal replaces the files one after another. While they do not fit together, the certificate before them
 * stays in use.
 */
export class Certificate {
  private readonly files: CertificateFiles;
  private readonly log: Logger;
  private readonly onChange: (context: SecureContextOptions) => void;
  private loaded: LoadedCertificate;
  private refused = '';
  private saidOfLists = '';
  private timer: NodeJS.Timeout | undefined;
  private closed = false;

  private constructor(
    files: CertificateFiles,
    log: Logger,
    onChange: Certificate['onChange'],
    loaded: LoadedCertificate,
  ) {
    this.files = files;
    this.log = log;
    this.onChange = onChange;
    this.loaded = loaded;
    this.warnOfEnd();
    this.warnOfLists();
    this.poll();
  }

  /** Reads the files and begins to watch them. Rejects with ConfigInvalid, which names the setting that is wrong. */
  static async open(
    files: CertificateFiles,
    log: Logger,
    onChange: (context: SecureContextOptions) => void,
  ): Promise<Certificate> {
    return new Certificate(files, log, onChange, await load(files));
  }

  /** The certificate in use, for a server that starts. */
  get context(): SecureContextOptions {
    return this.loaded.context;
  }

  /** How many seconds the certificate in use is still valid. */
  get secondsLeft(): number {
    return (this.loaded.validTo - clock.now()) / 1_000;
  }

  /** Whether a list says that the certificate of this key was revoked. */
  isRevoked(key: string): boolean {
    return this.loaded.lists?.revoked.has(key) ?? false;
  }

  /** How many seconds the revocation lists still hold; undefined when there are none, or they do not say. */
  get listSecondsLeft(): number | undefined {
    const end = this.loaded.lists?.validTo;
    return end === undefined ? undefined : (end - clock.now()) / 1_000;
  }

  close(): void {
    this.closed = true;
    clearTimeout(this.timer);
  }

  private poll(): void {
    this.timer = setTimeout(async () => {
      await this.reload();
      this.warnOfLists();
      if (!this.closed) this.poll();
    }, POLL_MS);
    this.timer.unref();
  }

  private async reload(): Promise<void> {
    try {
      const loaded = await load(this.files);
      if (this.closed || loaded.texts.every((text, i) => text === this.loaded.texts[i])) return;
      this.refuseOlderLists(loaded);
      const isListAlone = loaded.texts.slice(0, -1).every((text, i) => text === this.loaded.texts[i]);
      this.loaded = loaded;
      this.refused = '';
      this.onChange(loaded.context);
      if (isListAlone) {
        const count = loaded.lists?.revoked.size;
        this.log.info({ event: 'crl_reloaded', count }, 'a new list of revoked certificates is in force');
        return;
      }
      this.log.info(
        { event: 'certificate_reloaded', validTo: new Date(loaded.validTo) },
        'a new TLS certificate is in force',
      );
      this.warnOfEnd();
    } catch (error) {
      const why = explain(error);
      if (why !== this.refused)
        this.log.error({ event: 'certificate_refused' }, `${why}; the one before it stays in force`);
      this.refused = why;
    }
  }

  private refuseOlderLists({ lists }: LoadedCertificate): void {
    const { crl } = this.files;
    if (crl === undefined || lists === undefined || this.loaded.lists === undefined) return;
    try {
      refuseOlder(this.loaded.lists, lists);
    } catch (cause) {
      throw new ConfigInvalid('LOAM_TLS_CRL', `LOAM_TLS_CRL: ${crl} is refused: ${explain(cause)}`, { cause });
    }
  }

  private warnOfEnd(): void {
    const days = Math.floor((this.loaded.validTo - clock.now()) / DAY_MS);
    if (days < WARN_DAYS)
      this.log.warn({ event: 'certificate_ends', days }, `the TLS certificate ends in ${days} days`);
  }

  /** TLS refuses every client certificate once a list has ended: what was revoked since then is not known. */
  private warnOfLists(): void {
    const left = this.listSecondsLeft;
    const ends = left === undefined || left * 1_000 > WARN_LIST_MS ? '' : left <= 0 ? 'ended' : 'ends';
    const say = ends === 'ended' ? 'error' : 'warn';
    if (ends !== this.saidOfLists && ends !== '')
      this.log[say](
        { event: 'crl_ends' },
        `the list of revoked certificates ${ends === 'ended' ? 'has ended' : 'ends within a day'}: with an ended one no client certificate lets in`,
      );
    this.saidOfLists = ends;
  }
}

async function load({ cert, key, ca, crl }: CertificateFiles): Promise<LoadedCertificate> {
  const certText = await read('LOAM_TLS_CERT', cert);
  const keyText = await read('LOAM_TLS_KEY', key);
  const caText = ca === undefined ? undefined : await read('LOAM_TLS_CA', ca);
  const x509 = parse('LOAM_TLS_CERT', cert, certText);
  if (ca !== undefined && caText !== undefined) parse('LOAM_TLS_CA', ca, caText);
  const crlText = crl === undefined ? undefined : await read('LOAM_TLS_CRL', crl);
  const lists = crl === undefined || crlText === undefined ? undefined : parseLists(crl, crlText);
  const context = {
    cert: certText,
    key: keyText,
    ...(caText === undefined ? {} : { ca: caText }),
    ...(lists === undefined ? {} : { crl: [...lists.pems] }),
  };
  try {
    createSecureContext(context);
    // A key of another kind (RSA, ECDSA) than the certificate's is accepted above; only the first handshake would fail.
    if (!x509.checkPrivateKey(createPrivateKey(keyText))) throw new Error('the key belongs to another certificate');
  } catch (cause) {
    throw new ConfigInvalid('LOAM_TLS_KEY', `LOAM_TLS_KEY: ${key} is no key of the certificate ${cert}`, { cause });
  }
  return { texts: [certText, keyText, caText ?? '', crlText ?? ''], context, validTo: Date.parse(x509.validTo), lists };
}

function parseLists(path: string, text: string): RevocationLists {
  try {
    const lists = readRevocationLists(text);
    createSecureContext({ crl: [...lists.pems] });
    return lists;
  } catch (cause) {
    throw new ConfigInvalid('LOAM_TLS_CRL', `LOAM_TLS_CRL: ${path} is no list of revoked certificates in PEM`, {
      cause,
    });
  }
}

async function read(setting: string, path: string): Promise<string> {
  try {
    return await readFile(path, 'utf8');
  } catch (cause) {
    throw new ConfigInvalid(setting, `${setting}: ${path} cannot be read`, { cause });
  }
}

function parse(setting: string, path: string, text: string): X509Certificate {
  try {
    return new X509Certificate(text);
  } catch (cause) {
    throw new ConfigInvalid(setting, `${setting}: ${path} is no certificate in PEM`, { cause });
  }
}
