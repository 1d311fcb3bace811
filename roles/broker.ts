import { BatchEntrance } from '../backbone/account/batch-entrance.ts';
import { isEmbedded } from '../backbone/open.ts';
import { Broker } from '../broker/broker.ts';
import { Downlink } from '../broker/downlink/downlink.ts';
import { ReceiptClock } from '../broker/ingest/receipt-clock.ts';
import { Receipts } from '../broker/ingest/receipts.ts';
import { DEFAULT_BROKER_LIMITS } from '../broker/limits.ts';
import { Sources } from '../broker/sources/sources.ts';
import { bootId, builtAt, isSynchronised } from '../core/clock-machine.ts';
import type { Config } from '../core/config.ts';
import type { DescriptorPlan } from '../core/descriptors.ts';
import { ConfigInvalid } from '../core/errors.ts';
import type { Health } from '../core/lifecycle.ts';
import type { Metrics } from '../core/metrics.ts';
import type { PreparedRole, RoleContext } from './context.ts';

/**
 * The broker role: publishes come in over MQTT and go into the queue. Its parts are the broker, the downlink, which
 * brings commands to the clients, and the sources, which fetch readings from other brokers.
 */
export async function prepareBroker(context: RoleContext): Promise<PreparedRole> {
  const { config, log, ports, metrics, addresses } = context;
  const registry = await ports.registry();
  const key = await ports.secretKey();
  const queue = await ports.queue();
  const dead = await ports.deadLog();
  const commands = await ports.commands();
  const receipts = new Receipts({ log, metrics });
  const live = await ports.liveLog();
  const secretKeys = () => key.current();
  const clocksLog = await ports.clocksLog();
  const entrance = (name: 'broker' | 'source') => new BatchEntrance({ name, live, spooled: ports.inSpool });
  const ways = { queue, dead, registry, log, metrics, receipts };
  const refused = (await ports.refusals()).note;
  const toBroker = entrance('broker');
  const toSources = entrance('source');
  const broker = new Broker({
    ...settings(config, context.descriptors),
    ...ways,
    secretKeys,
    refused,
    entrance: toBroker,
  });
  const downlink = new Downlink({
    commands,
    subscribers: broker.subscribers,
    registry,
    log,
    alone: isEmbedded(config.log),
  });
  const sources = new Sources({
    ...ways,
    ...(config.sources ? { known: await ports.sourcesLog() } : {}),
    secretKeys,
    refused,
    payloadBytes: config.payloadKb * 1024,
    entrance: toSources,
  });
  const receiptClock = new ReceiptClock({
    entrances: [toBroker, ...(config.sources ? [toSources] : [])],
    receipts,
    clocks: clocksLog,
    history: await ports.clocks(),
    live,
    log,
    metrics,
    built: builtAt(),
    machine: bootId(),
    isSynchronised,
  });
  count(metrics, broker);
  context.connections.mqtt = () => broker.held.connections;
  addresses.mqtt = () => ({ host: config.mqttHost, port: broker.port });
  // With a spool the broker works while the commands log is away: that must not take it out of service.
  const ofCommands = (): Health[] => (ports.spooled ? [] : [commands.health()]);
  return {
    // The clock is looked at before the first publish is taken. The downlink is stopped after the broker, so that it still writes down the last PUBACKs.
    parts: [receiptClock, downlink, broker, ...(config.sources ? [sources] : [])],
    health: () => [
      receiptClock.health(),
      ...broker.health(),
      ...ofCommands(),
      ...sources.health(),
      ...registry.health(),
      ...key.health(),
    ],
    says: () => ({ mqtt: `${config.mqttHost}:${broker.port}` }),
  };
}

/** Throws ConfigInvalid. */
function settings(config: Config, descriptors: DescriptorPlan | undefined) {
  // Of the descriptors for MQTT, a quarter at most is for connections whose client is not let in yet.
  const room = descriptors?.mqtt ?? Number.POSITIVE_INFINITY;
  const greetings = Math.min(DEFAULT_BROKER_LIMITS.greetings, Math.max(1, Math.floor(room / 4)));
  return {
    host: config.mqttHost,
    port: config.mqttPort,
    tlsPort: config.mqttsPort,
    wsPort: config.mqttWsPort,
    wssPort: config.mqttWssPort,
    trustedProxies: config.trustedProxies,
    certificate: certificateFiles(config),
    limits: {
      connections: Math.min(config.mqttConnections, Math.max(1, room - greetings)),
      connectionsPerAddress: config.mqttConnectionsPerAddress,
      greetings,
      payloadBytes: config.payloadKb * 1024,
    },
  };
}

function certificateFiles({ tlsCert: cert, tlsKey: key, tlsCa: ca, tlsCrl: crl }: Config) {
  if (crl !== undefined && ca === undefined)
    throw new ConfigInvalid('LOAM_TLS_CRL', 'LOAM_TLS_CRL: needs LOAM_TLS_CA, whose certificates it revokes');
  if (cert !== undefined && key !== undefined) return { cert, key, ca, crl };
  if (cert === undefined && key === undefined && ca === undefined) return undefined;
  const missing = cert === undefined ? 'LOAM_TLS_CERT' : 'LOAM_TLS_KEY';
  throw new ConfigInvalid(missing, `${missing}: is not set; LOAM_TLS_CERT and LOAM_TLS_KEY belong together`);
}

function count(metrics: Metrics, broker: Broker): void {
  metrics.counts('loam_broker_events_total', 'What the MQTT broker has done, by event', () => ({ ...broker.counters }));
  metrics.gauge(
    'loam_broker_certificate_seconds',
    'How long the TLS certificate of the MQTT port still holds',
    () => broker.certificateSecondsLeft,
  );
  metrics.gauge(
    'loam_broker_crl_seconds',
    'How long the list of revoked certificates still holds',
    () => broker.listSecondsLeft,
  );
  metrics.gauge('loam_broker_clients', 'MQTT clients that are let in at the moment', () => broker.clients);
  metrics.gauge('loam_broker_connections', 'Open MQTT connections, let in or not', () => broker.held.connections);
  metrics.gauge('loam_broker_sessions_asleep', 'Sessions whose client is away', () => broker.held.sessionsAsleep);
  metrics.gauge('loam_broker_publishes', 'Publishes without their confirm by the queue', () => broker.held.publishes);
  metrics.gauge('loam_broker_waiting_bytes', 'Bytes read from sockets that wait', () => broker.held.waitingBytes);
}
