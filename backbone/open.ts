import { ConfigInvalid } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import type { DuckdbOptions } from './duckdb/store.ts';
import type { Disks } from './files/disk.ts';
import { LateLog } from './ports/late-log.ts';
import type { Log, LogLimits } from './ports/log.ts';
import type { Queue } from './ports/queue.ts';
import type { RegistryPort } from './ports/registry.ts';
import type { Store } from './ports/store.ts';
import type { SpooledQueue } from './spool/spool.ts';

/**
 * The one place that turns a URL into an adapter. It loads only the adapter in use: an installation with RabbitMQ and
 * InfluxDB does not need the libraries of the embedded adapters, and the other way round. `disks` are the file systems
 * that the process keeps files on: embedded adapters leave a reserve free there.
 *
 * `lmdb:FOLDER` is what an earlier version called `file:FOLDER`, and means the same.
 */

/** Opens the queue at `file:FOLDER` or `amqp[s]://…`. Rejects with QueueUnavailable. */
export async function openQueue(url: string, disks?: Disks): Promise<Queue> {
  switch (scheme(url)) {
    case 'file':
    case 'lmdb':
      return await (await import('./segments/queue.ts')).openFileQueue(rest(url), undefined, disks);
    case 'amqp':
    case 'amqps':
      return await (await import('./rabbitmq/queue.ts')).openRabbitQueue(url);
    default:
      throw new ConfigInvalid('LOAM_QUEUE', `LOAM_QUEUE: no queue is known for ${JSON.stringify(url)}`);
  }
}

/** Opens a queue beside the queue at `url`: that for publishes that need more time, or that whose publishes wait for a date. Rejects as `openQueue`. */
export async function openSideQueue(url: string, name: 'slow' | 'undated', disks?: Disks): Promise<Queue> {
  if (isEmbedded(url)) return await openQueue(`${url}/${name}`, disks);
  return await (await import('./rabbitmq/queue.ts')).openRabbitQueue(url, { name: `loam.${name}` });
}

/**
 * Opens the queue at `url` behind a spool at `file:FOLDER` of at most `maxBytes`. Resolves also while the queue cannot be reached.
 * Rejects with QueueUnavailable when the spool cannot be opened.
 */
export async function openSpooledQueue(
  url: string,
  spool: string,
  maxBytes: number,
  log: Logger,
  disks?: Disks,
): Promise<SpooledQueue> {
  const { openSpool } = await import('./spool/spool.ts');
  return await openSpool({ dir: rest(spool), maxBytes, openFar: () => openQueue(url, disks), log, disks });
}

/**
 * As `openLog`, but returns at once and opens the log when it can be reached. Until then every use rejects with
 * LogUnavailable.
 */
export function openLogLate(url: string, name: string, limits: LogLimits, disks?: Disks): Log {
  return new LateLog(() => openLog(url, name, limits, disks));
}

/** Opens the log `name` at `file:FOLDER` or `amqp[s]://…`. Rejects with LogUnavailable. */
export async function openLog(url: string, name: string, limits: LogLimits, disks?: Disks): Promise<Log> {
  switch (scheme(url)) {
    case 'file':
    case 'lmdb':
      return await (await import('./segments/log.ts')).openFileLog(rest(url), name, limits, disks);
    case 'amqp':
    case 'amqps':
      return await (await import('./rabbitmq/log.ts')).openRabbitLog(url, name, limits);
    default:
      throw new ConfigInvalid('LOAM_LOG', `LOAM_LOG: no log is known for ${JSON.stringify(url)}`);
  }
}

/** Opens the store at `duckdb:FILE` or `influx[s]://…`. Rejects with StoreUnavailable. Of `options` only `log` is for the second. */
export async function openStore(url: string, options: DuckdbOptions = {}): Promise<Store> {
  switch (scheme(url)) {
    case 'duckdb':
      return await (await import('./duckdb/store.ts')).openDuckdbStore(rest(url), options);
    case 'influx':
    case 'influxs':
      return await (await import('./influx/store.ts')).openInfluxStore(url, { log: options.log });
    default:
      throw new ConfigInvalid('LOAM_STORE', `LOAM_STORE: no store is known for ${JSON.stringify(url)}`);
  }
}

/**
 * Opens the registry at `yaml:FILE`, a plain path, or `postgres[ql]://…`. `once` is for a look or one edit: what others
 * change is not followed. Rejects with RegistryInvalid when there is no registry that can be in force, and with
 * ConfigInvalid when its server cannot be reached.
 */
export async function openRegistry(url: string, options: { log: Logger; once?: boolean }): Promise<RegistryPort> {
  const file = registryFile(url);
  if (file !== undefined) return await (await import('./registry/yaml/registry.ts')).YamlRegistry.open(file, options);
  return await (await import('./registry/postgres/registry.ts')).openPostgresRegistry(url, options);
}

/** The file that a registry is kept in; undefined when it is kept by a server. */
export function registryFile(url: string): string | undefined {
  if (['postgres', 'postgresql'].includes(scheme(url))) return undefined;
  return scheme(url) === 'yaml' ? rest(url) : url;
}

/** Whether an adapter's files belong to one process, so that separate roles cannot share them. */
export function isEmbedded(url: string): boolean {
  return ['file', 'lmdb', 'duckdb'].includes(scheme(url));
}

function scheme(url: string): string {
  return url.slice(0, url.indexOf(':'));
}

function rest(url: string): string {
  return url.slice(url.indexOf(':') + 1);
}
