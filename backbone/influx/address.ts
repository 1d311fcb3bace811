import { ConfigInvalid } from '../../core/errors.ts';

/** The address of an InfluxDB and how to sign in there. */
export interface InfluxAddress {
  /** `http[s]://host:port` */
  readonly base: string;
  /** The database; the bucket on 2.x. */
  readonly database: string;
  /** Needed by 2.x; other versions ignore it. */
  readonly org: string;
  /** Headers of every request. */
  readonly headers: Readonly<Record<string, string>>;
}

const PORT = '8086';

/**
 * Reads `influx[s]://[user:password@]host[:port]/DATABASE[?org=ORG&token=TOKEN]`. Throws ConfigInvalid, without the
 * secrets.
 */
export function parseInfluxUrl(url: string): InfluxAddress {
  const refuse = (why: string) =>
    new ConfigInvalid('LOAM_STORE', `LOAM_STORE: ${why}; wanted is influx://[user:password@]host:port/DATABASE`);
  if (!URL.canParse(url)) throw refuse('this is no address');
  const { protocol, hostname, port, pathname, username, password, searchParams } = new URL(url);
  if (protocol !== 'influx:' && protocol !== 'influxs:') throw refuse(`the scheme ${protocol} is not InfluxDB's`);
  if (hostname === '') throw refuse('the host is missing');
  const database = decodeURIComponent(pathname.slice(1));
  if (database === '') throw refuse('the database is missing');
  const token = searchParams.get('token');
  const basic = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  const authorization = token ? `Token ${token}` : username ? `Basic ${basic}` : undefined;
  return {
    base: `${protocol === 'influx:' ? 'http' : 'https'}://${hostname}:${port || PORT}`,
    database,
    org: searchParams.get('org') ?? '',
    headers: authorization === undefined ? {} : { authorization },
  };
}
