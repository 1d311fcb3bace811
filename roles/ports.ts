import { ClockHistory } from '../backbone/clocks/clock-history.ts';
import { Commands } from '../backbone/commands/commands.ts';
import { RefusalBook } from '../backbone/events/refusal-book.ts';
import {
  isEmbedded,
  openLog,
  openLogLate,
  openQueue,
  openRegistry,
  openSideQueue,
  openSpooledQueue,
  openStore,
} from '../backbone/open.ts';
import {
  CLOCKS_LOG_LIMITS,
  COMMANDS_LOG_LIMITS,
  DEAD_LOG_LIMITS,
  EVENT_LOG_LIMITS,
  ISOLATION_LOG_LIMITS,
  LIVE_LOG_LIMITS,
  type Log,
  type LogLimits,
  REFUSALS_LOG_LIMITS,
  SESSIONS_LOG_LIMITS,
  SOURCES_LOG_LIMITS,
} from '../backbone/ports/log.ts';
import type { Queue } from '../backbone/ports/queue.ts';
import type { RegistryPort } from '../backbone/ports/registry.ts';
import type { Store } from '../backbone/ports/store.ts';
import { describeRegistryError } from '../backbone/registry/yaml/text.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import type { Health, Lifecycle } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import type { Metrics } from '../core/metrics.ts';
import { withoutSecrets } from '../core/without-secrets.ts';
import type { RunContext } from './run.ts';
import { KeptSecretKey } from './secret-key.ts';

/**
 * The ports of one process. Each is opened when the first role asks for it. The lifecycle closes it after everything
 * that uses it. Each function rejects with ConfigInvalid.
 *
 * `mayBeAway`: with `LOAM_SPOOL` set, queue and logs count as open even while they cannot be reached, and publishes
 * wait in the spool.
 */
export function portsOf(
  lifecycle: Lifecycle,
  { config, log, disks }: RunContext,
  metrics: Metrics,
  mayBeAway: boolean,
) {
  const hold = <T extends { close(): Promise<void> }>(
    name: string,
    setting: string,
    url: string,
    open: () => Promise<T>,
  ): Promise<T> =>
    lifecycle.hold(
      name,
      () => opened(setting, url, open),
      (port) => port.close(),
    );
  const spool = mayBeAway ? config.spool : undefined;
  const openLogOf = (what: string, name: string, limits: LogLimits): Promise<Log> =>
    hold(what, 'LOAM_LOG', config.log, async () =>
      spool === undefined
        ? await openLog(config.log, name, limits, disks)
        : openLogLate(config.log, name, limits, disks),
    );

  const registry = once(async () => {
    const held = await lifecycle.hold(
      'registry',
      () => openRegistryOf(config, log),
      (port) => port.close(),
    );
    metrics.gauge(
      'loam_registry_sensors',
      'Sensors in the registry as this process knows it',
      () => held.current().sensorCount,
    );
    return held;
  });
  const secretKey = once(async () => {
    const key = await KeptSecretKey.open(config, await registry(), log);
    metrics.gauge(
      'loam_secrets_off',
      'Values in the registry that no key of LOAM_SECRET_KEY opens',
      () => key.countOff,
    );
    return key;
  });
  let inSpool = () => 0;
  const queue = once(async (): Promise<Queue> => {
    if (spool === undefined)
      return await hold('queue', 'LOAM_QUEUE', config.queue, () => openQueue(config.queue, disks));
    const maxBytes = config.spoolMb * 1024 ** 2;
    const spooled = await hold('spool', 'LOAM_SPOOL', spool, () =>
      openSpooledQueue(config.queue, spool, maxBytes, log, disks),
    );
    inSpool = () => spooled.spooled;
    metrics.gauge('loam_spool_messages', 'Messages that wait in the spool for the queue', () => spooled.spooled);
    return spooled;
  });
  /** Where workers leave publishes that need a codec or too much time. */
  const slowQueue = once(
    (): Promise<Queue> =>
      hold('slow queue', 'LOAM_QUEUE', config.queue, () => openSideQueue(config.queue, 'slow', disks)),
  );
  /** Where publishes wait that are dated by a clock that nobody believes. */
  const undatedQueue = once(
    (): Promise<Queue> =>
      hold('undated queue', 'LOAM_QUEUE', config.queue, () => openSideQueue(config.queue, 'undated', disks)),
  );
  /** What an embedded store needs of the live log, and what it misses there. */
  const ofStore: { neededFrom?: number; gap?: string } = {};
  const liveLog = once(() => {
    const pinned = isEmbedded(config.store) ? { pinned: () => ofStore.neededFrom } : {};
    return openLogOf('live log', 'live', { ...LIVE_LOG_LIMITS, ...pinned });
  });
  const store = once(async (): Promise<Store> => {
    if (!isEmbedded(config.store))
      return await hold('store', 'LOAM_STORE', config.store, () => openStore(config.store, { log }));
    const live = {
      log: await liveLog(),
      needs: (offset: number) => {
        ofStore.neededFrom = offset;
      },
      gap: (why: string) => {
        ofStore.gap = why;
      },
    };
    return await hold('store', 'LOAM_STORE', config.store, () =>
      openStore(config.store, { disks, live, log, metrics }),
    );
  });
  const deadLog = once(() => openLogOf('dead-letter log', 'dead', DEAD_LOG_LIMITS));
  const eventLog = once(() => openLogOf('event log', 'events', EVENT_LOG_LIMITS));
  const sessionsLog = once(() => openLogOf('log of sessions', 'sessions', SESSIONS_LOG_LIMITS));
  /** Where refused clients and sign-ins are written down. One of all roles of the process. */
  const refusals = once(async () => {
    const refusalsLog = await openLogOf('log of refusals', 'refusals', REFUSALS_LOG_LIMITS);
    return await lifecycle.hold(
      'refusals',
      async () => new RefusalBook({ refusals: refusalsLog, logger: log, metrics }),
      (book) => book.stop(),
    );
  });
  const clocksLog = once(() => openLogOf('log of clocks', 'clocks', CLOCKS_LOG_LIMITS));
  const sourcesLog = once(() => openLogOf('log of sources', 'sources', SOURCES_LOG_LIMITS));
  /** What became of the clocks by which publishes were received. The log is read to its end first, unless it may be away. */
  const clocks = once(async () => {
    const history = new ClockHistory(await clocksLog(), log);
    const started = history.start();
    return await lifecycle.hold(
      'clocks',
      async () => {
        if (spool === undefined) await started;
        return history;
      },
      (held) => held.stop(),
    );
  });
  /**
   * Resolves with a function that opens the log of isolated attempts at its first call, because it is seldom needed. If
   * that fails, the next call tries again.
   */
  const attemptsLog = once(() => {
    let held: Log | undefined;
    const open = async () => {
      held ??= await openLog(config.log, 'trials', ISOLATION_LOG_LIMITS, disks);
      return held;
    };
    return lifecycle.hold(
      'log of trials',
      async () => open,
      async () => held?.close(),
    );
  });
  /** The commands. Their log is read to its end first, unless it may be away. */
  const commands = once(async () => {
    const commandsLog = await openLogOf('commands log', 'commands', COMMANDS_LOG_LIMITS);
    const held = await hold('commands', 'LOAM_LOG', config.log, async () =>
      spool === undefined ? await Commands.open(commandsLog, log) : Commands.openLate(commandsLog, log),
    );
    countCommands(metrics, held);
    return held;
  });
  /** Readings that may be missing in the store: said until the next start. Everything works. */
  const gaps = (): Health[] =>
    ofStore.gap === undefined ? [] : [{ name: 'store gap', ok: false, optional: true, why: ofStore.gap }];
  return {
    spooled: spool !== undefined,
    /** How many messages wait in the spool. */
    inSpool: () => inSpool(),
    gaps,
    registry,
    secretKey,
    queue,
    slowQueue,
    undatedQueue,
    clocksLog,
    sourcesLog,
    clocks,
    store,
    liveLog,
    deadLog,
    eventLog,
    sessionsLog,
    refusals,
    attemptsLog,
    commands,
  };
}

export type Ports = ReturnType<typeof portsOf>;

/**
 * Opens the registry. Rejects with ConfigInvalid, which names the file, the line and what is wrong there. `once`: for a
 * look or one edit, it is not followed.
 */
export async function openRegistryOf(config: Config, log: Logger, once = false): Promise<RegistryPort> {
  try {
    return await openRegistry(config.registry, { log, once });
  } catch (cause) {
    if (cause instanceof ConfigInvalid) throw cause;
    const why = describeRegistryError(withoutSecrets(config.registry), cause);
    throw new ConfigInvalid('LOAM_REGISTRY', `LOAM_REGISTRY: ${why}`, { cause });
  }
}

/** Opens one port. Rejects with ConfigInvalid: at the start an unreachable server is most likely a wrong setting. */
export async function opened<T>(setting: string, url: string, open: () => Promise<T>): Promise<T> {
  try {
    return await open();
  } catch (cause) {
    if (cause instanceof ConfigInvalid) throw cause;
    throw new ConfigInvalid(
      setting,
      `${setting}: cannot open ${withoutSecrets(url)}: ${withoutSecrets(explain(cause))}`,
      { cause },
    );
  }
}

/** Adds metrics of what became of commands, as this process reads their log. */
function countCommands(metrics: Metrics, commands: Commands): void {
  metrics.counts('loam_commands_total', 'Commands that were queued, refused, delivered or have expired', () => ({
    ...commands.counters,
  }));
  metrics.gauge('loam_commands_waiting', 'Commands that wait for their sensors', () => commands.waiting);
}

/** Calls `make` at the first call only. Every call returns the same promise. */
function once<T>(make: () => Promise<T>): () => Promise<T> {
  let made: Promise<T> | undefined;
  return () => {
    made ??= make();
    return made;
  };
}
