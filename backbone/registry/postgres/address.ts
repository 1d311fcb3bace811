import { readFileSync } from 'node:fs';
import type { ConnectionOptions } from 'node:tls';
import { ConfigInvalid, explain } from '../../../core/errors.ts';

/** Where a PostgreSQL server is, and who signs in there. */
export interface PostgresAddress {
  /** A host name, an address, or the folder of a socket, which begins with a slash. */
  readonly host: string;
  readonly port: number;
  readonly database: string;
  readonly user: string;
  readonly password: string;
  /** `false`: the connection is not encrypted. */
  readonly tls: false | ConnectionOptions;
  /** Server and database as a person may read them: without the password. */
  readonly shown: string;
}

const SETTING = 'LOAM_REGISTRY';
const FORM = 'postgres://USER:PASSWORD@HOST:PORT/DATABASE';
const MODES = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
type TlsMode = (typeof MODES)[number];
const PARAMETERS: ReadonlySet<string> = new Set(['host', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey']);

/**
 * Reads `postgres://USER:PASSWORD@HOST:PORT/DATABASE`, with what stands behind a question mark: `sslmode` (`disable`,
 * `require`, `verify-ca` or `verify-full`, as in PostgreSQL's own programs; without it nothing is encrypted),
 * `sslrootcert`, `sslcert` and `sslkey` (PEM files), and `host` for the folder of a socket. Throws ConfigInvalid, whose
 * message never has the password in it.
 */
export function postgresAddress(url: string): PostgresAddress {
  const parts = parseUrl(url);
  const parameter = (name: string): string | undefined => parts.searchParams.get(name) ?? undefined;
  // A URL has an IPv6 address in brackets.
  const host = parameter('host') ?? decode(parts.hostname).replace(/^\[([^\]]+)\]$/, '$1');
  const database = decode(parts.pathname.slice(1));
  const user = decode(parts.username);
  if (host === '') refuse('the host is missing');
  if (user === '') refuse('the user is missing');
  if (database === '' || database.includes('/')) refuse('the database is missing');
  // Only now: of a password with a question mark in it, the rest would be named as such.
  for (const name of parts.searchParams.keys()) {
    if (!PARAMETERS.has(name)) refuse(`${JSON.stringify(name)} is not known; allowed: ${[...PARAMETERS].join(', ')}`);
  }
  const port = parts.port === '' ? 5432 : Number(parts.port);
  return {
    host,
    port,
    database,
    user,
    password: decode(parts.password),
    tls: tlsOptions(parameter),
    shown: `PostgreSQL at ${host}${host.startsWith('/') ? '' : `:${port}`}/${database}`,
  };
}

function parseUrl(url: string): URL {
  try {
    return new URL(url);
  } catch {
    // The error of `URL` has the whole text in it, and so the password.
    return refuse(
      'it is not a URL; characters that mean something in one, such as @ and / in a password, are written as %40 and %2F',
    );
  }
}

function decode(text: string): string {
  if (text.includes('%00')) refuse('nothing in it can have a NUL (%00)');
  try {
    return decodeURIComponent(text);
  } catch {
    return refuse('a % is not followed by two hex digits; a % itself is written as %25');
  }
}

function tlsOptions(parameter: (name: string) => string | undefined): false | ConnectionOptions {
  const mode = tlsMode(parameter('sslmode') ?? 'disable');
  const [rootcert, cert, key] = [parameter('sslrootcert'), parameter('sslcert'), parameter('sslkey')];
  if (mode === 'disable') {
    if (rootcert ?? cert ?? key) refuse('sslrootcert, sslcert and sslkey go with an sslmode that encrypts');
    return false;
  }
  if ((cert === undefined) !== (key === undefined)) refuse('sslcert and sslkey belong together');
  if (mode === 'verify-ca' && rootcert === undefined) {
    refuse('sslmode=verify-ca goes with sslrootcert: anybody can have a certificate of a public authority');
  }
  return {
    ...(rootcert === undefined ? {} : { ca: readPem('sslrootcert', rootcert) }),
    ...(cert === undefined ? {} : { cert: readPem('sslcert', cert) }),
    ...(key === undefined ? {} : { key: readPem('sslkey', key) }),
    // As PostgreSQL's own programs take it: `require` with an authority is `verify-ca`.
    ...(mode === 'require' && rootcert === undefined ? { rejectUnauthorized: false } : {}),
    ...(mode === 'verify-full' ? {} : { checkServerIdentity: () => undefined }),
  };
}

function tlsMode(text: string): TlsMode {
  return MODES.find((mode) => mode === text) ?? refuse(`sslmode=${text} is not known; allowed: ${MODES.join(', ')}`);
}

function readPem(name: string, path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch (error) {
    return refuse(`${name}: ${explain(error)}`);
  }
}

function refuse(what: string): never {
  throw new ConfigInvalid(SETTING, `${SETTING}: ${what} (${FORM})`);
}
