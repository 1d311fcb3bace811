import { ConfigInvalid } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { openDuckdbStore } from './duckdb/store.ts';
import type { Disks } from './files/disk.ts';
import { openInfluxStore } from './influx/store.ts';
import { openLmdbLog } from './lmdb/log.ts';
import { openLmdbQueue } from './lmdb/queue.ts';
import { LateLog } from './ports/late-log.ts';
import type { Log, LogLimits } from './ports/log.ts';
import type { Queue } from './ports/queue.ts';
import type { Store } from './ports/store.ts';
import { openRabbitLog } from './rabbitmq/log.ts';
import { openRabbitQueue } from './rabbitmq/queue.ts';
import { openSpool, type SpooledQueue } from './spool/spool.ts';

/** The one place that turns a URL into an adapter. `disks` are those that the process keeps files on: embedded adapters leave room there. */

/** Opens the queue at `lmdb:FOLDER` or `amqp[s]://…`. Rejects with QueueUnavailable. */
export function openQueue(url: string, disks?: Disks): Promise<Queue> {
  switch (scheme(url)) {
    case 'lmdb':
      return openLmdbQueue(rest(url), undefined, disks);
    case 'amqp':
    case 'amqps':
      return openRabbitQueue(url);
    default:
      throw new ConfigInvalid('LOAM_QUEUE', `LOAM_QUEUE: no queue is known for ${JSON.stringify(url)}`);
  }
}

/**
 * Opens the queue at `url` behind a spool at `lmdb:FOLDER` of at most `maxBytes`. Resolves also while the queue cannot be reached.
 * Rejects with QueueUnavailable when the spool cannot be opened.
 */
export function openSpooledQueue(
  url: string,
  spool: string,
  maxBytes: number,
  log: Logger,
  disks?: Disks,
): Promise<SpooledQueue> {
  return openSpool({ dir: rest(spool), maxBytes, openFar: () => openQueue(url, disks), log, disks });
}

/** As `openLog`, but resolves at once: until it can be opened, every use rejects with LogUnavailable. */
export function openLogLate(url: string, name: string, limits: LogLimits, disks?: Disks): Log {
  return new LateLog(() => openLog(url, name, limits, disks));
}

/** Opens the log `name` at `lmdb:FOLDER` or `amqp[s]://…`. Rejects with LogUnavailable. */
export function openLog(url: string, name: string, limits: LogLimits, disks?: Disks): Promise<Log> {
  switch (scheme(url)) {
    case 'lmdb':
      return openLmdbLog(rest(url), name, limits, disks);
    case 'amqp':
    case 'amqps':
      return openRabbitLog(url, name, limits);
    default:
      throw new ConfigInvalid('LOAM_LOG', `LOAM_LOG: no log is known for ${JSON.stringify(url)}`);
  }
}

/** Opens the store at `duckdb:FILE` or `influx[s]://…`. Rejects with StoreUnavailable. */
export function openStore(url: string, disks?: Disks): Promise<Store> {
  switch (scheme(url)) {
    case 'duckdb':
      return openDuckdbStore(rest(url), disks === undefined ? {} : { disks });
    case 'influx':
    case 'influxs':
      return openInfluxStore(url);
    default:
      throw new ConfigInvalid('LOAM_STORE', `LOAM_STORE: no store is known for ${JSON.stringify(url)}`);
  }
}

/** Whether an adapter's files belong to one process, so that separate roles cannot share them. */
export function isEmbedded(url: string): boolean {
  return ['lmdb', 'duckdb'].includes(scheme(url));
}

function scheme(url: string): string {
  return url.slice(0, url.indexOf(':'));
}

function rest(url: string): string {
  return url.slice(url.indexOf(':') + 1);
}
