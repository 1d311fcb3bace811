import { join, resolve } from 'node:path';
import { z } from 'zod';
import { ConfigInvalid } from './errors.ts';
import { LOG_LEVELS } from './logger.ts';
import { Networks } from './networks.ts';

/**
 * One setting. It is an environment variable and a command-line option at once; the option wins.
 * `allowed` says in words what the schema takes, for the error message and `--help`.
 */
export interface Setting<T> {
  readonly variable: string;
  readonly option: string;
  readonly help: string;
  readonly allowed: string;
  readonly schema: z.ZodType<T, string>;
  /** Absent: the setting may be left out. A function: derived from the data folder. */
  readonly fallback?: string | ((data: string) => string);
}

const port = z
  .string()
  .regex(/^\d{1,5}$/)
  .transform(Number)
  .refine((n) => n <= 65_535);
const count = z
  .string()
  .regex(/^[1-9]\d{0,6}$/)
  .transform(Number);
const host = z.string().regex(/^[A-Za-z0-9.:_-]{1,253}$/);
const path = z
  .string()
  .min(1)
  .transform((p) => resolve(p));
const yesNo = z.enum(['true', 'false']).transform((v) => v === 'true');
const url = (...schemes: string[]) => z.string().regex(new RegExp(`^(${schemes.join('|')}):.+`));

const PORT = 'a whole number from 0 to 65535; 0 picks a free port';
const COUNT = 'a whole number from 1 to 9999999';
const HOST = 'a host name or address';

function setting<T>(
  option: string,
  help: string,
  allowed: string,
  schema: z.ZodType<T, string>,
  fallback?: Setting<T>['fallback'],
): Setting<T> {
  const variable = `LOAM_${option.replace(/^--/, '').replace(/ .*$/, '').replaceAll('-', '_').toUpperCase()}`;
  return { variable, option, help, allowed, schema, ...(fallback === undefined ? {} : { fallback }) };
}

/** Every setting of Loam, in the order in which `--help` shows them. */
export const SETTINGS = {
  data: setting('--data <folder>', 'folder for embedded adapters and generated secrets', 'a folder', path, './data'),
  registry: setting('--registry <file>', 'farms, fields, sensors, metrics, users', 'a YAML file', path, (data) =>
    join(data, 'registry.yaml'),
  ),
  queue: setting(
    '--queue <url>',
    'work queue between broker and workers',
    'lmdb:FOLDER or amqp://USER:PASSWORD@HOST',
    url('lmdb', 'amqp', 'amqps'),
    (data) => `lmdb:${join(data, 'queue')}`,
  ),
  log: setting(
    '--log <url>',
    'live log, dead-letter log and commands log',
    'lmdb:FOLDER or amqp://USER:PASSWORD@HOST',
    url('lmdb', 'amqp', 'amqps'),
    (data) => `lmdb:${join(data, 'log')}`,
  ),
  store: setting(
    '--store <url>',
    'time-series store',
    'duckdb:FILE, influx://HOST:PORT/DATABASE or influxs://…',
    url('duckdb', 'influx', 'influxs'),
    (data) => `duckdb:${join(data, 'readings.duckdb')}`,
  ),
  spool: setting(
    '--spool <url>',
    'where a broker keeps messages, on its own disk, while the queue cannot be reached',
    'lmdb:FOLDER',
    url('lmdb'),
  ),
  spoolMb: setting(
    '--spool-mb <megabytes>',
    'most that the spool keeps; beyond it sensors wait',
    'a whole number from 1 to 1000000',
    z
      .string()
      .regex(/^\d{1,7}$/)
      .transform(Number)
      .refine((n) => n >= 1 && n <= 1_000_000),
    '1024',
  ),
  mqttHost: setting('--mqtt-host <host>', 'where the broker listens', HOST, host, '127.0.0.1'),
  mqttPort: setting('--mqtt-port <port>', 'MQTT port', PORT, port, '1883'),
  mqttsPort: setting('--mqtts-port <port>', 'port of MQTT over TLS; off when left out', PORT, port),
  mqttWsPort: setting('--mqtt-ws-port <port>', 'port of MQTT over WebSocket; off when left out', PORT, port),
  mqttWssPort: setting('--mqtt-wss-port <port>', 'port of MQTT over WebSocket with TLS; off when left out', PORT, port),
  tlsCert: setting('--tls-cert <file>', 'TLS certificate of the broker, with its chain', 'a PEM file', path),
  tlsKey: setting('--tls-key <file>', 'key of the TLS certificate', 'a PEM file', path),
  tlsCa: setting(
    '--tls-ca <file>',
    'who signs the certificates of sensors; without it they are not asked for one',
    'a PEM file',
    path,
  ),
  mqttConnections: setting('--mqtt-connections <count>', 'most MQTT connections', COUNT, count, '20000'),
  mqttConnectionsPerAddress: setting(
    '--mqtt-connections-per-address <count>',
    'most MQTT connections from one address',
    COUNT,
    count,
    '10000',
  ),
  httpHost: setting('--http-host <host>', 'where the dashboard gateway listens', HOST, host, '127.0.0.1'),
  httpPort: setting('--http-port <port>', 'HTTP and WebSocket port', PORT, port, '8080'),
  httpsCert: setting(
    '--https-cert <file>',
    'certificate and chain: with it the gateway speaks TLS',
    'a PEM file, with LOAM_HTTPS_KEY',
    path,
  ),
  httpsKey: setting('--https-key <file>', 'the key of that certificate', 'a PEM file, with LOAM_HTTPS_CERT', path),
  trustedProxies: setting(
    '--trusted-proxies <list>',
    'proxies whose X-Forwarded-For and X-Forwarded-Proto are believed',
    'addresses and networks: 10.0.0.1, 192.168.0.0/16',
    z.string().transform((text, context) => {
      const networks = Networks.parse(text);
      if (networks !== undefined) return networks;
      context.addIssue({ code: 'custom' });
      return z.NEVER;
    }),
  ),
  mqttAddress: setting(
    '--mqtt-address <url>',
    'where sensors reach the broker, as people are told it; for a gateway on its own',
    'mqtt://HOST:PORT or mqtts://HOST:PORT',
    z.string().regex(/^mqtts?:\/\/[^/?#@\s]+:\d{1,5}\/?$/),
  ),
  opsHost: setting('--ops-host <host>', 'where /healthz, /readyz and /metrics are answered', HOST, host, '127.0.0.1'),
  opsPort: setting('--ops-port <port>', 'port of /healthz, /readyz and /metrics', PORT, port, '9464'),
  sessionKey: setting(
    '--session-key <key>',
    'signs sign-ins; the same on every gateway',
    'at least 32 characters',
    z.string().min(32),
  ),
  url: setting(
    '--url <url>',
    'where a running Loam answers, for commands that talk to one',
    'http://HOST:PORT or https://…',
    z.string().regex(/^https?:\/\/[^/?#\s]+\/?$/),
    'http://127.0.0.1:8080',
  ),
  token: setting(
    '--token <token>',
    'lets commands in: any bearer token for them; for the gateway, the one it takes as admin of every farm',
    'at least 32 letters, digits and - . _ ~ + / =',
    z.string().regex(/^[\w.~+/=-]{32,2000}$/),
  ),
  sources: setting(
    '--sources <true|false>',
    'connect to the other brokers that the registry names; of several brokers, one',
    'true or false',
    yesNo,
    'true',
  ),
  demo: setting(
    '--demo <true|false>',
    'run the built-in demo sensors on a first start',
    'true or false',
    yesNo,
    'true',
  ),
  logLevel: setting('--log-level <level>', 'how much is logged', LOG_LEVELS.join(', '), z.enum(LOG_LEVELS), 'info'),
} as const;

export type SettingName = keyof typeof SETTINGS;
type Value<S> = S extends { schema: z.ZodType<infer T, string> } ? T : never;
type Plain = { readonly [K in SettingName]: Value<(typeof SETTINGS)[K]> };

type Optional =
  | 'spool'
  | 'mqttsPort'
  | 'mqttWsPort'
  | 'mqttWssPort'
  | 'tlsCert'
  | 'tlsKey'
  | 'tlsCa'
  | 'sessionKey'
  | 'token'
  | 'httpsCert'
  | 'httpsKey'
  | 'mqttAddress';

/** Every setting with its value. Some are undefined when they were left out; of `sessionKey` and `token` the data folder then has one. */
export type Config = Omit<Plain, Optional> & { readonly [K in Optional]: Plain[K] | undefined };

type Given = Readonly<Record<string, string | undefined>>;

/**
 * Reads every setting: from `options` (by setting name), else from `env` (by variable), else its default.
 * Throws ConfigInvalid, which names the setting, what was given and what is allowed.
 */
export function loadConfig(options: Given = {}, env: Given = process.env): Config {
  // An empty variable counts as absent: that is what `LOAM_X=` in an env file means.
  const given = (name: SettingName): string | undefined => options[name] ?? (env[SETTINGS[name].variable] || undefined);
  const read = <T>(name: SettingName, s: Setting<T>, fallback: string): T => parse(s, given(name) ?? fallback);
  const data = read('data', SETTINGS.data, './data');
  const value = <T>(name: SettingName, s: Setting<T>): T => {
    const fallback = typeof s.fallback === 'function' ? s.fallback(data) : (s.fallback ?? '');
    return read(name, s, fallback);
  };
  const optional = <T>(name: Optional, s: Setting<T>): T | undefined => {
    const text = given(name);
    return text === undefined ? undefined : parse(s, text);
  };
  return {
    data,
    registry: value('registry', SETTINGS.registry),
    queue: value('queue', SETTINGS.queue),
    log: value('log', SETTINGS.log),
    store: value('store', SETTINGS.store),
    spool: optional('spool', SETTINGS.spool),
    spoolMb: value('spoolMb', SETTINGS.spoolMb),
    mqttHost: value('mqttHost', SETTINGS.mqttHost),
    mqttPort: value('mqttPort', SETTINGS.mqttPort),
    mqttsPort: optional('mqttsPort', SETTINGS.mqttsPort),
    mqttWsPort: optional('mqttWsPort', SETTINGS.mqttWsPort),
    mqttWssPort: optional('mqttWssPort', SETTINGS.mqttWssPort),
    tlsCert: optional('tlsCert', SETTINGS.tlsCert),
    tlsKey: optional('tlsKey', SETTINGS.tlsKey),
    tlsCa: optional('tlsCa', SETTINGS.tlsCa),
    mqttConnections: value('mqttConnections', SETTINGS.mqttConnections),
    mqttConnectionsPerAddress: value('mqttConnectionsPerAddress', SETTINGS.mqttConnectionsPerAddress),
    httpHost: value('httpHost', SETTINGS.httpHost),
    httpPort: value('httpPort', SETTINGS.httpPort),
    httpsCert: optional('httpsCert', SETTINGS.httpsCert),
    httpsKey: optional('httpsKey', SETTINGS.httpsKey),
    trustedProxies: value('trustedProxies', SETTINGS.trustedProxies),
    mqttAddress: optional('mqttAddress', SETTINGS.mqttAddress),
    opsHost: value('opsHost', SETTINGS.opsHost),
    opsPort: value('opsPort', SETTINGS.opsPort),
    sessionKey: optional('sessionKey', SETTINGS.sessionKey),
    url: value('url', SETTINGS.url),
    token: optional('token', SETTINGS.token),
    sources: value('sources', SETTINGS.sources),
    demo: value('demo', SETTINGS.demo),
    logLevel: value('logLevel', SETTINGS.logLevel),
  };
}

/** Variables that look like settings and are none: most likely misspelt. */
export function unknownVariables(env: Given = process.env): string[] {
  const known = new Set<string>(Object.values(SETTINGS).map((s) => s.variable));
  return Object.keys(env).filter(
    (name) => name.startsWith('LOAM_') && !name.startsWith('LOAM_TEST_') && !known.has(name),
  );
}

function parse<T>(s: Setting<T>, text: string): T {
  const parsed = s.schema.safeParse(text);
  if (parsed.success) return parsed.data;
  // A secret must not end up in a log.
  const isSecret = s.variable === SETTINGS.sessionKey.variable || s.variable === SETTINGS.token.variable;
  const shown = isSecret ? `${text.length} characters` : JSON.stringify(text);
  throw new ConfigInvalid(s.variable, `${s.variable} (${s.option.split(' ')[0]}): got ${shown}, allowed: ${s.allowed}`);
}

/** The value of an environment variable that somebody named as the place of a secret. */
export function secretVariable(name: string, env: Given = process.env): string | undefined {
  return env[name];
}
