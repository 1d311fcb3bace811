import { join } from 'node:path';

/**
 * One setting. It is an environment variable and a command-line option at once; the option wins.
 * `allowed` says in words what it takes, for the error message and `--help`.
 */
export interface Setting {
  readonly variable: string;
  readonly option: string;
  readonly help: string;
  readonly allowed: string;
  /** Absent: the setting may be left out. A function: derived from the data folder. */
  readonly fallback?: string | ((data: string) => string);
}

const PORT = 'a whole number from 0 to 65535; 0 picks a free port';
const COUNT = 'a whole number from 1 to 9999999';
const HOST = 'a host name or address';

/** From the one that logs most to the one that logs least. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

function setting(option: string, help: string, allowed: string, fallback?: Setting['fallback']): Setting {
  const [name = ''] = option.slice('--'.length).split(' ', 1);
  const variable = `LOAM_${name.replaceAll('-', '_').toUpperCase()}`;
  return { variable, option, help, allowed, ...(fallback === undefined ? {} : { fallback }) };
}

/**
 * Every setting of Loam, in the order in which `--help` shows them. config.ts parses and checks their values, so that
 * `--help` does not have to load that code.
 */
export const SETTINGS = {
  data: setting('--data <folder>', 'folder for embedded adapters and generated secrets', 'a folder', './data'),
  registry: setting(
    '--registry <url>',
    'farms, fields, sensors, metrics, users',
    'a YAML file or postgres://USER:PASSWORD@HOST/DATABASE',
    (data) => join(data, 'registry.yaml'),
  ),
  queue: setting(
    '--queue <url>',
    'work queue between broker and workers',
    'file:FOLDER or amqp://USER:PASSWORD@HOST',
    (data) => `file:${join(data, 'queue')}`,
  ),
  log: setting(
    '--log <url>',
    'live log, dead-letter log, event log, log of refusals and commands log',
    'file:FOLDER or amqp://USER:PASSWORD@HOST',
    (data) => `file:${join(data, 'log')}`,
  ),
  rabbitmqApi: setting(
    '--rabbitmq-api <url>',
    'management API of RabbitMQ; with it policies that delete what was acknowledged are named',
    'http://USER:PASSWORD@HOST:15672 or https://…',
  ),
  store: setting(
    '--store <url>',
    'time-series store',
    'duckdb:FILE, influx://HOST:PORT/DATABASE or influxs://…',
    (data) => `duckdb:${join(data, 'readings.duckdb')}`,
  ),
  spool: setting(
    '--spool <url>',
    'where a broker keeps messages, on its own disk, while the queue cannot be reached',
    'file:FOLDER',
  ),
  spoolMb: setting(
    '--spool-mb <megabytes>',
    'most that the spool keeps; beyond it sensors wait',
    'a whole number from 1 to 1000000',
    '1024',
  ),
  payloadKb: setting(
    '--payload-kb <kibibytes>',
    'largest payload of one publish; of a larger one only the beginning is kept, as a dead letter',
    'a whole number from 1 to 1024',
    '256',
  ),
  decodeMs: setting(
    '--decode-ms <milliseconds>',
    'most time that decoding one publish may take; what takes longer is tried apart from the others',
    'a whole number from 1 to 9999999',
    '1000',
  ),
  diskReserve: setting(
    '--disk-reserve <room>',
    'what is kept free on each disk; sensors wait while less is left',
    'a share from 1% to 50%, of which 64MB are the least, or a size from 16MB to 1000000GB, as 500MB',
    '2%',
  ),
  mqttHost: setting('--mqtt-host <host>', 'where the broker listens', HOST, '127.0.0.1'),
  mqttPort: setting('--mqtt-port <port>', 'MQTT port', PORT, '1883'),
  mqttsPort: setting('--mqtts-port <port>', 'port of MQTT over TLS; off when left out', PORT),
  mqttWsPort: setting('--mqtt-ws-port <port>', 'port of MQTT over WebSocket; off when left out', PORT),
  mqttWssPort: setting('--mqtt-wss-port <port>', 'port of MQTT over WebSocket with TLS; off when left out', PORT),
  tlsCert: setting('--tls-cert <file>', 'TLS certificate of the broker, with its chain', 'a PEM file'),
  tlsKey: setting('--tls-key <file>', 'key of the TLS certificate', 'a PEM file'),
  tlsCa: setting(
    '--tls-ca <file>',
    'who signs the certificates of sensors; without it they are not asked for one',
    'a PEM file',
  ),
  tlsCrl: setting(
    '--tls-crl <file>',
    'certificates of sensors that were revoked, as lists (CRLs) of each CA; needs LOAM_TLS_CA',
    'a PEM file',
  ),
  mqttConnections: setting('--mqtt-connections <count>', 'most MQTT connections', COUNT, '20000'),
  mqttConnectionsPerAddress: setting(
    '--mqtt-connections-per-address <count>',
    'most MQTT connections from one address',
    COUNT,
    '10000',
  ),
  httpHost: setting('--http-host <host>', 'where the dashboard gateway listens', HOST, '127.0.0.1'),
  httpPort: setting('--http-port <port>', 'HTTP and WebSocket port', PORT, '8080'),
  httpsCert: setting(
    '--https-cert <file>',
    'certificate and chain: with it the gateway speaks TLS',
    'a PEM file, with LOAM_HTTPS_KEY',
  ),
  httpsKey: setting('--https-key <file>', 'the key of that certificate', 'a PEM file, with LOAM_HTTPS_CERT'),
  trustedProxies: setting(
    '--trusted-proxies <list>',
    'proxies whose X-Forwarded-For and X-Forwarded-Proto are believed',
    'addresses and networks: 10.0.0.1, 192.168.0.0/16',
  ),
  publicUrl: setting(
    '--public-url <url>',
    'where people reach the dashboard: browsers that name another host are refused',
    'http://HOST[:PORT] or https://HOST[:PORT]',
  ),
  firstSignInFrom: setting(
    '--first-sign-in-from <list>',
    'from where, besides this machine, the link that `loam up` prints at its first start signs in',
    'addresses and networks: 10.0.0.1, 192.168.0.0/16',
  ),
  mqttAddress: setting(
    '--mqtt-address <url>',
    'where sensors reach the broker, as people are told it; for a gateway on its own',
    'mqtt://HOST:PORT or mqtts://HOST:PORT',
  ),
  opsHost: setting('--ops-host <host>', 'where /healthz, /readyz and /metrics are answered', HOST, '127.0.0.1'),
  opsPort: setting('--ops-port <port>', 'port of /healthz, /readyz and /metrics', PORT, '9464'),
  sessionKey: setting(
    '--session-key <key>',
    'signs sign-ins; the same on every gateway',
    'at least 32 characters that are in no example',
  ),
  secretKey: setting(
    '--secret-key <key>',
    'with it the registry keeps tokens and sealed secrets; the same for every broker and gateway; old keys may follow it',
    'at least 32 characters, or several such keys with commas between them',
  ),
  url: setting(
    '--url <url>',
    'where a running Loam answers, for commands that talk to one',
    'http://HOST:PORT or https://…',
    'http://127.0.0.1:8080',
  ),
  token: setting(
    '--token <token>',
    'lets commands in: any bearer token for them; for the gateway, the one it takes as admin of every farm',
    'at least 32 letters, digits and - . _ ~ + / =',
  ),
  sources: setting(
    '--sources <true|false>',
    'connect to the other brokers that the registry names; of several brokers, one',
    'true or false',
    'true',
  ),
  demo: setting('--demo <true|false>', 'run the built-in demo sensors on a first start', 'true or false', 'true'),
  logLevel: setting('--log-level <level>', 'how much is logged', LOG_LEVELS.join(', '), 'info'),
} as const satisfies Record<string, Setting>;

export type SettingName = keyof typeof SETTINGS;
