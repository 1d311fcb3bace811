import { fileURLToPath } from 'node:url';
import type { Commands } from '../backbone/commands/commands.ts';
import { isEmbedded } from '../backbone/open.ts';
import { Broker } from '../broker/broker.ts';
import { Downlink } from '../broker/downlink/downlink.ts';
import { Receipts } from '../broker/ingest/receipts.ts';
import { DEFAULT_BROKER_LIMITS } from '../broker/limits.ts';
import { Sources } from '../broker/sources/sources.ts';
import type { Config } from '../core/config.ts';
import { ConfigInvalid } from '../core/errors.ts';
import type { Health, House } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import { type Metrics, processMetrics } from '../core/metrics.ts';
import { OpsServer } from '../core/ops-server.ts';
import { PACKAGE_ROOT } from '../core/package-root.ts';
import { Gateway } from '../dashboard-gateway/gateway.ts';
import { mqttEndpoint } from '../dashboard-gateway/sensors/mqtt-endpoint.ts';
import type { RegistryView } from '../telemetry/registry.ts';
import { Worker } from '../workers/worker.ts';
import { adminToken, sessionKey } from './data-folder.ts';
import {
  holdBrokerPorts,
  holdCommands,
  holdDeadLog,
  holdLiveLog,
  holdQueue,
  holdRegistry,
  holdStore,
  holdTrialsLog,
  holdValidate,
  needServers,
} from './ports.ts';
import type { Running } from './run.ts';

/** Where `npm run build` puts the browser app. */
export const WEB_FOLDER = fileURLToPath(new URL('dist/dashboard/', PACKAGE_ROOT));

/** `loam broker`: MQTT in, queue out. */
export async function startBroker(house: House, running: Running): Promise<void> {
  const { config, log, disks } = running;
  needServers('broker', { LOAM_QUEUE: config.queue, LOAM_LOG: config.log });
  const registry = await holdRegistry(house, config, log);
  const metrics = processMetrics();
  const { queue, dead, commands } = await holdBrokerPorts(house, running, metrics);
  const receipts = new Receipts({ limits: DEFAULT_BROKER_LIMITS, log, metrics });
  const broker = new Broker({ ...brokerSettings(config), queue, dead, registry, log, metrics, receipts });
  countBroker(metrics, broker);
  countCommands(metrics, commands);
  disks.count(metrics);
  await house.start(downlinkOf(broker, commands, registry, { config, log }));
  await house.start(broker);
  const sources = new Sources({ queue, dead, registry, metrics, log, receipts });
  if (config.sources) await house.start(sources);
  // With a spool it takes publishes although their log is away, and is not to be taken out of service for that.
  const ofLogs = () => (config.spool === undefined ? [commands.health()] : []);
  // What it keeps on a disk is the spool: while the queue can be reached it does its work without.
  const health = () => [...broker.health(), ...ofLogs(), ...sources.health(), registry.health(), ...disks.health(true)];
  await startOps(house, config, log, health, metrics);
  log.info({ mqtt: `${config.mqttHost}:${broker.port}` }, 'broker is ready');
}

/** What brings commands to a broker's clients. Start it before the broker, so that it is stopped after it: the last PUBACKs are written down. */
export function downlinkOf(
  broker: Broker,
  commands: Commands,
  registry: RegistryView,
  { config, log }: Pick<Running, 'config' | 'log'>,
): Downlink {
  return new Downlink({ commands, subscribers: broker.subscribers, registry, log, alone: isEmbedded(config.log) });
}

/** What the settings say of a broker. Throws ConfigInvalid. */
export function brokerSettings(config: Config) {
  return {
    host: config.mqttHost,
    port: config.mqttPort,
    tlsPort: config.mqttsPort,
    wsPort: config.mqttWsPort,
    wssPort: config.mqttWssPort,
    certificate: certificateFiles(config),
    limits: { connections: config.mqttConnections, connectionsPerAddress: config.mqttConnectionsPerAddress },
  };
}

function certificateFiles({ tlsCert: cert, tlsKey: key, tlsCa: ca }: Config) {
  if (cert !== undefined && key !== undefined) return { cert, key, ca };
  if (cert === undefined && key === undefined && ca === undefined) return undefined;
  const missing = cert === undefined ? 'LOAM_TLS_CERT' : 'LOAM_TLS_KEY';
  throw new ConfigInvalid(missing, `${missing}: is not set; LOAM_TLS_CERT and LOAM_TLS_KEY belong together`);
}

/** `loam worker`: queue in, store and live log out. */
export async function startWorker(house: House, running: Running): Promise<void> {
  const { config, log } = running;
  needServers('worker', { LOAM_QUEUE: config.queue, LOAM_LOG: config.log, LOAM_STORE: config.store });
  const registry = await holdRegistry(house, config, log);
  const validate = await holdValidate(house, config, registry);
  const store = await holdStore(house, running);
  const live = await holdLiveLog(house, running);
  const dead = await holdDeadLog(house, running);
  const openTrials = await holdTrialsLog(house, running);
  const queue = await holdQueue(house, running);
  const metrics = processMetrics();
  const worker = new Worker({ queue, store, live, dead, openTrials, validate, log, metrics });
  await house.start(worker);
  await startOps(house, config, log, () => [...worker.health(), registry.health()], metrics);
  log.info('worker is ready');
}

/** `loam gateway`: store and live log in, dashboards out; dead letters that are replayed, and imports, into the queue. */
export async function startGateway(house: House, running: Running): Promise<void> {
  const { config, log } = running;
  needServers('gateway', { LOAM_QUEUE: config.queue, LOAM_LOG: config.log, LOAM_STORE: config.store });
  const registry = await holdRegistry(house, config, log);
  const store = await holdStore(house, running);
  const live = await holdLiveLog(house, running);
  const dead = await holdDeadLog(house, running);
  const queue = await holdQueue(house, running);
  const commands = await holdCommands(house, running);
  const health = (): Health[] => [...gateway.health(), commands.health(), registry.health()];
  const metrics = processMetrics();
  countCommands(metrics, commands);
  const settings = await gatewaySettings(config, log);
  const gateway = new Gateway({ ...settings, store, live, dead, queue, commands, registry, health, metrics, log });
  await house.start(gateway);
  await startOps(house, config, log, health, metrics);
  log.info({ url: gateway.url }, 'gateway is ready');
}

/** What the settings say of a gateway. Rejects with ConfigInvalid. */
export async function gatewaySettings(config: Config, log: Logger) {
  return {
    host: config.httpHost,
    port: config.httpPort,
    tls: tlsFiles(config),
    trustedProxies: config.trustedProxies,
    mqtt: () => mqttEndpoint(config.mqttAddress, config.mqttPort),
    sessionKey: await sessionKey(config),
    adminToken: await adminTokenIfKept(config, log),
    webFolder: WEB_FOLDER,
  };
}

/** A gateway whose data folder cannot be written, as in a container, works without a token: it is for commands alone. */
async function adminTokenIfKept(config: Config, log: Logger): Promise<string | undefined> {
  try {
    return await adminToken(config);
  } catch (error) {
    if (!(error instanceof ConfigInvalid)) throw error;
    log.warn(`commands cannot talk to this gateway, for LOAM_TOKEN is not set: ${error.message}`);
    return undefined;
  }
}

function tlsFiles({ httpsCert: cert, httpsKey: key }: Config) {
  if (cert !== undefined && key !== undefined) return { cert, key };
  if (cert === undefined && key === undefined) return undefined;
  const missing = cert === undefined ? 'LOAM_HTTPS_CERT' : 'LOAM_HTTPS_KEY';
  throw new ConfigInvalid(missing, `${missing}: is not set; LOAM_HTTPS_CERT and LOAM_HTTPS_KEY belong together`);
}

/** Shows what a broker counts. */
export function countBroker(metrics: Metrics, broker: Broker): void {
  metrics.counts('loam_broker_events_total', 'What the MQTT broker has done, by event', () => ({ ...broker.counters }));
  metrics.gauge(
    'loam_broker_certificate_seconds',
    'How long the TLS certificate of the MQTT port still holds',
    () => broker.certificateSecondsLeft,
  );
  metrics.gauge('loam_broker_clients', 'MQTT clients that are let in at the moment', () => broker.clients);
  metrics.gauge('loam_broker_connections', 'Open MQTT connections, let in or not', () => broker.held.connections);
  metrics.gauge('loam_broker_sessions_asleep', 'Sessions whose client is away', () => broker.held.sessionsAsleep);
  metrics.gauge('loam_broker_publishes', 'Publishes without their confirm by the queue', () => broker.held.publishes);
  metrics.gauge('loam_broker_waiting_bytes', 'Bytes read from sockets that wait', () => broker.held.waitingBytes);
}

/** Shows what became of commands, as this process reads their log. */
export function countCommands(metrics: Metrics, commands: Commands): void {
  metrics.counts('loam_commands_total', 'Commands that were queued, refused, delivered or have expired', () => ({
    ...commands.counters,
  }));
  metrics.gauge('loam_commands_waiting', 'Commands that wait for their sensors', () => commands.waiting);
}

/** Starts the port that answers `/healthz`, `/readyz` and `/metrics`. */
export async function startOps(
  house: House,
  config: Config,
  log: Logger,
  health: () => readonly Health[],
  metrics: Metrics,
): Promise<void> {
  const ops = new OpsServer({ host: config.opsHost, port: config.opsPort, health, metrics });
  await house.start(ops);
  log.info({ ops: `${config.opsHost}:${ops.port}` }, 'answering /healthz, /readyz and /metrics');
}
