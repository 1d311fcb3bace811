import { Commands } from '../backbone/commands/commands.ts';
import { isEmbedded, openLog, openLogLate, openQueue, openSpooledQueue, openStore } from '../backbone/open.ts';
import {
  COMMANDS_LOG_LIMITS,
  DEAD_LOG_LIMITS,
  LIVE_LOG_LIMITS,
  type Log,
  type LogLimits,
  TRIALS_LOG_LIMITS,
} from '../backbone/ports/log.ts';
import type { Queue } from '../backbone/ports/queue.ts';
import type { Store } from '../backbone/ports/store.ts';
import { describeRegistryError, RegistryFile } from '../backbone/registry/file.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid, explain } from '../core/errors.ts';
import type { House } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import type { Metrics } from '../core/metrics.ts';
import type { RegistryView } from '../telemetry/registry.ts';
import { CodecFiles } from '../workers/codecs/codec-files.ts';
import { createValidate, type Validate } from '../workers/validate.ts';
import type { Running } from './run.ts';

/** What is to be opened, and the disks that it may lie on. */
type Opening = Pick<Running, 'config' | 'disks'>;

/** Opens ports as parts of a house, so that they are closed after everything that uses them. Each rejects with ConfigInvalid. */

export function holdQueue(house: House, { config, disks }: Opening): Promise<Queue> {
  return hold(house, 'queue', 'LOAM_QUEUE', config.queue, () => openQueue(config.queue, disks));
}

export function holdLiveLog(house: House, { config, disks }: Opening): Promise<Log> {
  return hold(house, 'live log', 'LOAM_LOG', config.log, () => openLog(config.log, 'live', LIVE_LOG_LIMITS, disks));
}

export function holdDeadLog(house: House, { config, disks }: Opening): Promise<Log> {
  return hold(house, 'dead-letter log', 'LOAM_LOG', config.log, () =>
    openLog(config.log, 'dead', DEAD_LOG_LIMITS, disks),
  );
}

/** The commands log, read to its end. */
export async function holdCommands(house: House, { config, disks, log }: Running): Promise<Commands> {
  const commandsLog = await hold(house, 'commands log', 'LOAM_LOG', config.log, () =>
    openLog(config.log, 'commands', COMMANDS_LOG_LIMITS, disks),
  );
  return await hold(house, 'commands', 'LOAM_LOG', config.log, () => Commands.open(commandsLog, log));
}

/**
 * A broker's queue, dead-letter log and commands. With `LOAM_SPOOL` it starts, and takes publishes, also while none of them can be reached.
 */
export async function holdBrokerPorts(
  house: House,
  running: Running,
  metrics: Metrics,
): Promise<{ queue: Queue; dead: Log; commands: Commands }> {
  const { config, log, disks } = running;
  const { spool } = config;
  if (spool === undefined) {
    const queue = await holdQueue(house, running);
    return { queue, dead: await holdDeadLog(house, running), commands: await holdCommands(house, running) };
  }
  const maxBytes = config.spoolMb * 1024 ** 2;
  const queue = await house.hold(
    'spool',
    () => opened('LOAM_SPOOL', spool, () => openSpooledQueue(config.queue, spool, maxBytes, log, disks)),
    (held) => held.close(),
  );
  const late = (name: string, what: string, limits: LogLimits) =>
    hold(house, what, 'LOAM_LOG', config.log, async () => openLogLate(config.log, name, limits, disks));
  const dead = await late('dead', 'dead-letter log', DEAD_LOG_LIMITS);
  const commandsLog = await late('commands', 'commands log', COMMANDS_LOG_LIMITS);
  const commands = await hold(house, 'commands', 'LOAM_LOG', config.log, async () =>
    Commands.openLate(commandsLog, log),
  );
  metrics.gauge('loam_spool_messages', 'Messages that wait in the spool for the queue', () => queue.spooled);
  return { queue, dead, commands };
}

/** A function that opens the log of trials at its first call; it is closed with the house. */
export async function holdTrialsLog(house: House, { config, disks }: Opening): Promise<() => Promise<Log>> {
  let opened: Log | undefined;
  const open = async () => {
    opened ??= await openLog(config.log, 'trials', TRIALS_LOG_LIMITS, disks);
    return opened;
  };
  return await house.hold(
    'log of trials',
    async () => open,
    async () => opened?.close(),
  );
}

export function holdStore(house: House, { config, disks }: Opening): Promise<Store> {
  return hold(house, 'store', 'LOAM_STORE', config.store, () => openStore(config.store, disks));
}

export function holdRegistry(house: House, config: Config, log: Logger): Promise<RegistryFile> {
  return house.hold(
    'registry',
    () => openRegistry(config, log),
    async (registry) => registry.close(),
  );
}

/** What makes readings of publishes, by the registry and the codecs beside it. */
export async function holdValidate(house: House, config: Config, registry: RegistryView): Promise<Validate> {
  const codecs = await house.hold(
    'codecs',
    async () => new CodecFiles(config.registry),
    (files) => files.close(),
  );
  return createValidate({ registry, codecs });
}

/** The registry's file, read. Rejects with ConfigInvalid, which names the file, the line and what is wrong there. */
export async function openRegistry(config: Config, log: Logger): Promise<RegistryFile> {
  try {
    return await RegistryFile.open(config.registry, log);
  } catch (cause) {
    throw new ConfigInvalid('LOAM_REGISTRY', `LOAM_REGISTRY: ${describeRegistryError(config.registry, cause)}`, {
      cause,
    });
  }
}

/** Throws ConfigInvalid when a role that runs alone was given an adapter whose files belong to one process. */
export function needServers(role: string, settings: Readonly<Record<string, string>>): void {
  for (const [setting, url] of Object.entries(settings)) {
    if (!isEmbedded(url)) continue;
    const server = setting === 'LOAM_STORE' ? 'influx://…' : 'amqp://…';
    throw new ConfigInvalid(
      setting,
      `${setting}: ${url} belongs to one process, so \`loam ${role}\` cannot share it: give ${server}, or run \`loam up\``,
    );
  }
}

/** A URL that may be shown: without its password or token. */
export function withoutSecrets(url: string): string {
  return url.replace(/(\/\/[^:/@]*:)[^@/]*@/, '$1***@').replace(/([?&]token=)[^&]*/, '$1***');
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

function hold<T extends { close(): Promise<void> }>(
  house: House,
  name: string,
  setting: string,
  url: string,
  open: () => Promise<T>,
): Promise<T> {
  return house.hold(
    name,
    () => opened(setting, url, open),
    (port) => port.close(),
  );
}
