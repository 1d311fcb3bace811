import { resolve } from 'node:path';
import { z } from 'zod';
import { ConfigInvalid } from './errors.ts';
import { Networks } from './networks.ts';
import { areSecretKeys } from './secret-key.ts';
import { fileVariable, fromEnvironment } from './setting-files.ts';
import { LOG_LEVELS, SETTINGS, type Setting, type SettingName } from './settings.ts';
import { isServerUrl, withoutCredentials } from './without-secrets.ts';

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
const networks = z.string().transform((text, context) => {
  const parsed = Networks.parse(text);
  if (parsed !== undefined) return parsed;
  context.addIssue({ code: 'custom' });
  return z.NEVER;
});
const queueUrl = z
  .string()
  .regex(/^(file|lmdb|amqps?):.+/)
  .refine((text) => !text.startsWith('amqp') || isServerUrl(text));

const BYTES = { MB: 1e6, GB: 1e9 } as const;

/** A share of a disk, as 2%, or a size, as 500MB. */
const diskRoom = z.string().transform((text, context): { readonly share: number } | { readonly bytes: number } => {
  const [, number, unit] = /^(\d{1,7}(?:\.\d{1,3})?)(%|MB|GB)$/.exec(text) ?? [];
  const amount = Number(number);
  if (unit === '%' && amount >= 1 && amount <= 50) return { share: amount / 100 };
  const bytes = unit === 'MB' || unit === 'GB' ? amount * BYTES[unit] : 0;
  if (bytes >= 16e6 && bytes <= 1e15) return { bytes };
  context.addIssue({ code: 'custom' });
  return z.NEVER;
});

function isRegistry(text: string): boolean {
  if (/^postgres(?:ql)?:/.test(text)) return isServerUrl(text);
  return text.startsWith('yaml:') || !/^[A-Za-z][A-Za-z0-9+.-]*:\//.test(text);
}

/** What each setting takes. */
const SCHEMAS = {
  data: path,
  // `yaml:FILE` and a plain path mean the same.
  registry: z
    .string()
    .min(1)
    // What looks like an address and is none would be taken for a file.
    .refine((text) => isRegistry(text))
    .transform((text) => (/^postgres(?:ql)?:/.test(text) ? text : resolve(text.replace(/^yaml:/, '')))),
  queue: queueUrl,
  log: queueUrl,
  rabbitmqApi: z.string().regex(/^https?:\/\/[^/?#@:\s]+:[^/?#@\s]+@[^/?#@\s]+(?:\/[^?#\s]*)?$/),
  store: z
    .string()
    .regex(/^(duckdb|influxs?):.+/)
    .refine((text) => !text.startsWith('influx') || isServerUrl(text)),
  spool: z.string().regex(/^(file|lmdb):.+/),
  spoolMb: z
    .string()
    .regex(/^\d{1,7}$/)
    .transform(Number)
    .refine((n) => n >= 1 && n <= 1_000_000),
  payloadKb: z
    .string()
    .regex(/^\d{1,4}$/)
    .transform(Number)
    .pipe(z.number().min(1).max(1_024)),
  decodeMs: count,
  diskReserve: diskRoom,
  mqttHost: host,
  mqttPort: port,
  mqttsPort: port,
  mqttWsPort: port,
  mqttWssPort: port,
  tlsCert: path,
  tlsKey: path,
  tlsCa: path,
  tlsCrl: path,
  mqttConnections: count,
  mqttConnectionsPerAddress: count,
  httpHost: host,
  httpPort: port,
  httpsCert: path,
  httpsKey: path,
  trustedProxies: networks,
  publicUrl: z
    .string()
    .regex(/^https?:\/\/[^/?#@\s]+\/?$/)
    .refine((text) => URL.canParse(text)),
  firstSignInFrom: networks,
  mqttAddress: z.string().regex(/^mqtts?:\/\/[^/?#@\s]+:\d{1,5}\/?$/),
  opsHost: host,
  opsPort: port,
  // Who has read an example has its key, and signs in as anybody.
  sessionKey: z.string().min(32).refine(isNoExample),
  secretKey: z.string().refine(areSecretKeys),
  url: z.string().regex(/^https?:\/\/[^/?#;@%\s]+\/?$/),
  token: z
    .string()
    .regex(/^[\w.~+/=-]{32,2000}$/)
    .refine(isNoExample),
  sources: yesNo,
  demo: yesNo,
  logLevel: z.enum(LOG_LEVELS),
} as const satisfies Record<SettingName, z.ZodType<unknown, string>>;

type Plain = { readonly [K in SettingName]: z.infer<(typeof SCHEMAS)[K]> };
const schemas: { readonly [K in SettingName]: z.ZodType<Plain[K], string> } = SCHEMAS;

type Optional =
  | 'rabbitmqApi'
  | 'spool'
  | 'mqttsPort'
  | 'mqttWsPort'
  | 'mqttWssPort'
  | 'tlsCert'
  | 'tlsKey'
  | 'tlsCa'
  | 'tlsCrl'
  | 'sessionKey'
  | 'secretKey'
  | 'token'
  | 'httpsCert'
  | 'httpsKey'
  | 'publicUrl'
  | 'mqttAddress';

/**
 * Every setting with its value; optional ones may be undefined. `sessionKey`, `secretKey` and `token` are then in the data folder.
 */
export type Config = Omit<Plain, Optional> & { readonly [K in Optional]: Plain[K] | undefined };

type Given = Readonly<Record<string, string | undefined>>;

/** The value of a setting as it was given. */
interface GivenValue {
  readonly text: string;
  /** The variable that an error names. */
  readonly variable: string;
  /** Whether an error may show it. */
  readonly isHidden: boolean;
}

/**
 * Reads every setting: from `options` (by setting name), else from `env` (by variable, or from the file that `LOAM_X_FILE`
 * names), else its default. Throws ConfigInvalid, which names the setting, what was given and what is allowed.
 */
export function loadConfig(options: Given = {}, env: Given = process.env): Config {
  const given = (name: SettingName): GivenValue | undefined => {
    const { variable } = SETTINGS[name];
    const option = options[name];
    if (option !== undefined) return { text: option, variable, isHidden: SECRETS.has(name) };
    // An empty variable counts as absent: that is what `LOAM_X=` in an env file means.
    const found = fromEnvironment(variable, env);
    return found && { ...found, isHidden: found.isFile || SECRETS.has(name) };
  };
  const optional = <N extends SettingName>(name: N): Plain[N] | undefined => {
    const value = given(name);
    return value && parse(name, value);
  };
  const data = optional('data') ?? resolve('data');
  const value = <N extends SettingName>(name: N): Plain[N] => {
    const { fallback, variable }: Setting = SETTINGS[name];
    const text = typeof fallback === 'function' ? fallback(data) : (fallback ?? '');
    return parse(name, given(name) ?? { text, variable, isHidden: false });
  };
  return {
    data,
    registry: value('registry'),
    queue: value('queue'),
    log: value('log'),
    rabbitmqApi: optional('rabbitmqApi'),
    store: value('store'),
    spool: optional('spool'),
    spoolMb: value('spoolMb'),
    payloadKb: value('payloadKb'),
    decodeMs: value('decodeMs'),
    diskReserve: value('diskReserve'),
    mqttHost: value('mqttHost'),
    mqttPort: value('mqttPort'),
    mqttsPort: optional('mqttsPort'),
    mqttWsPort: optional('mqttWsPort'),
    mqttWssPort: optional('mqttWssPort'),
    tlsCert: optional('tlsCert'),
    tlsKey: optional('tlsKey'),
    tlsCa: optional('tlsCa'),
    tlsCrl: optional('tlsCrl'),
    mqttConnections: value('mqttConnections'),
    mqttConnectionsPerAddress: value('mqttConnectionsPerAddress'),
    httpHost: value('httpHost'),
    httpPort: value('httpPort'),
    httpsCert: optional('httpsCert'),
    httpsKey: optional('httpsKey'),
    trustedProxies: value('trustedProxies'),
    publicUrl: optional('publicUrl'),
    firstSignInFrom: value('firstSignInFrom'),
    mqttAddress: optional('mqttAddress'),
    opsHost: value('opsHost'),
    opsPort: value('opsPort'),
    sessionKey: optional('sessionKey'),
    secretKey: optional('secretKey'),
    url: value('url'),
    token: optional('token'),
    sources: value('sources'),
    demo: value('demo'),
    logLevel: value('logLevel'),
  };
}

/** Variables that look like settings and are none: most likely misspelt. */
export function unknownVariables(env: Given = process.env): string[] {
  const known = new Set(Object.values(SETTINGS).flatMap(({ variable }) => [variable, fileVariable(variable)]));
  return Object.keys(env).filter(
    (name) => name.startsWith('LOAM_') && !name.startsWith('LOAM_TEST_') && !known.has(name),
  );
}

/** Whether a key is somebody's own, and not what stands in an example until somebody puts theirs there. */
function isNoExample(key: string): boolean {
  return !/^(?:change|example|replace|your)/i.test(key);
}

/** Settings whose value must not end up in a log. URLs are shown without what is secret in them. */
const SECRETS: ReadonlySet<SettingName> = new Set(['sessionKey', 'secretKey', 'token']);

function parse<N extends SettingName>(name: N, { text, variable, isHidden }: GivenValue): Plain[N] {
  const parsed = schemas[name].safeParse(text);
  if (parsed.success) return parsed.data;
  const { option, allowed } = SETTINGS[name];
  const shown = isHidden ? `${text.length} characters` : JSON.stringify(withoutCredentials(text));
  throw new ConfigInvalid(variable, `${variable} (${option.split(' ')[0]}): got ${shown}, allowed: ${allowed}`);
}

/** The value of an environment variable that the registry names as the place of a secret. */
export function secretVariable(name: string, env: Given = process.env): string | undefined {
  return env[name];
}
