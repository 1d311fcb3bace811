import type { EventEmitter } from 'node:events';
import { Aedes, type Client } from 'aedes';
import { BatchEntrance } from '../backbone/account/batch-entrance.ts';
import { clock } from '../core/clock.ts';
import { explain } from '../core/errors.ts';
import type { Health, Part } from '../core/lifecycle.ts';
import { Addresses } from './auth/addresses.ts';
import { Admission } from './auth/admission.ts';
import { Arrivals } from './auth/arrivals.ts';
import type { ClientCertificate } from './auth/client-certificate.ts';
import { ConnectionReports } from './auth/connection-reports.ts';
import type { Identity } from './auth/identity.ts';
import { Offenders } from './auth/offenders.ts';
import { RefusedPublishes } from './auth/refusals.ts';
import { Rights } from './auth/rights.ts';
import { type BrokerCounters, newCounters } from './counters.ts';
import { MemoryBudget } from './ingest/memory-budget.ts';
import { PublishBatcher } from './ingest/publish-batcher.ts';
import { Publishing } from './ingest/publishing.ts';
import { Receipts } from './ingest/receipts.ts';
import type { TakenPublishes } from './ingest/taken-publishes.ts';
import { type BrokerLimits, DEFAULT_BROKER_LIMITS } from './limits.ts';
import type { IncomingConnection } from './listeners/listener.ts';
import { type ListenerPorts, MqttListeners } from './listeners/mqtt-listeners.ts';
import { FramedSocket } from './mqtt/framed-socket.ts';
import type { BrokerOptions } from './options.ts';
import type { SessionState } from './sessions/session-state.ts';
import { Sessions } from './sessions/sessions.ts';
import type { Subscribers } from './sessions/subscribers.ts';

export type { BrokerOptions };

const SWEEP_MS = 100;
const LIST_ENDED = 'the list of revoked certificates has ended (LOAM_TLS_CRL): no client certificate lets in';
/** The share of the time for stopping that may be spent on waiting for the queue. */
const DRAIN_SHARE = 0.7;

/**
 * The MQTT broker. It lets in the clients that the registry knows, takes their publishes, and acknowledges each publish
 * after the queue has confirmed it.
 *
 * A publish goes socket → `FramedSocket` (whole packets, bounds) → `TakenPublishes` (receipt) → `Publishing` (rights) →
 * `PublishBatcher` → queue. Its acknowledgement goes back through `TakenPublishes` (order) → framed socket → socket. The MQTT library
 * answers all other packets.
 */
export class Broker implements Part {
  readonly name = 'broker';
  private readonly options: BrokerOptions;
  private readonly limits: BrokerLimits;
  private readonly counts = newCounters();
  private readonly sessions: Sessions;
  private readonly sockets = new Set<FramedSocket>();
  private readonly budget: MemoryBudget;
  private readonly addresses: Addresses;
  private readonly arrivals: Arrivals;
  private readonly rights: Rights;
  private readonly entrance: BatchEntrance;
  private readonly reports: ConnectionReports;
  private batcher: PublishBatcher | undefined;
  private publishing: Publishing | undefined;
  private aedes: Aedes | undefined;
  private listeners: MqttListeners | undefined;
  private refusals: RefusedPublishes | undefined;
  private sweeper: NodeJS.Timeout | undefined;
  private unwatch: () => void = () => {};
  private listening = false;
  private bound: ListenerPorts = { mqtt: 0 };

  constructor(options: BrokerOptions) {
    this.options = options;
    this.limits = { ...DEFAULT_BROKER_LIMITS, ...options.limits };
    this.budget = new MemoryBudget(this.limits);
    this.addresses = new Addresses(this.limits);
    this.rights = new Rights(options.registry, this.limits.unregisteredSensors);
    this.entrance = options.entrance ?? new BatchEntrance({ name: 'broker' });
    const { limits, counts: counters, rights } = this;
    const { registry, secretKeys = () => undefined, refused: note = () => {} } = options;
    this.reports = new ConnectionReports({ note, registry, secretKeys, limits });
    this.arrivals = new Arrivals(limits, this.addresses, counters, this.reports.atEntrance);
    const isRevoked = (certificate: ClientCertificate) => this.listeners?.isRevoked(certificate.key) ?? false;
    this.sessions = new Sessions({
      limits,
      counters,
      rights,
      registry,
      log: options.log,
      isRevoked,
      takenBy: (state) => this.takenBy(state),
      takenOver: this.reports.takenOver,
    });
  }

  get counters(): Readonly<BrokerCounters> {
    return this.counts;
  }

  /** The port that is listened on; 0 before `start`. */
  get port(): number {
    return this.bound.mqtt;
  }

  /** Every port that is listened on. */
  get ports(): ListenerPorts {
    return this.bound;
  }

  /** How many seconds the TLS certificate is still valid; undefined when there is none. */
  get certificateSecondsLeft(): number | undefined {
    return this.listeners?.certificateSecondsLeft;
  }

  /** How many seconds the lists of revoked certificates still hold; undefined when there are none. */
  get listSecondsLeft(): number | undefined {
    return this.listeners?.listSecondsLeft;
  }

  /** How many clients are let in at the moment. */
  get clients(): number {
    return this.sessions.size;
  }

  /** How much the broker holds at the moment; `BrokerLimits` bounds all of it. */
  get held() {
    const { asleep: sessionsAsleep } = this.sessions.store;
    const { size: greetings } = this.arrivals;
    return { ...this.budget.held, connections: this.addresses.size + greetings, greetings, sessionsAsleep };
  }

  /** The connected sessions, by the sensors whose commands they subscribed to. The downlink sends through them. */
  get subscribers(): Subscribers {
    return this.sessions.subscribers;
  }

  health(): Health[] {
    const mqtt = !this.listening ? { name: 'mqtt', ok: false, why: 'not listening' } : { name: 'mqtt', ok: true };
    const left = this.listSecondsLeft;
    const lists: Health[] =
      left === undefined || left > 0
        ? []
        : [{ name: 'revoked certificates', ok: false, optional: true, why: LIST_ENDED }];
    return this.batcher ? [mqtt, this.batcher.health(), ...lists] : [mqtt];
  }

  /** Resolves when clients can connect. Rejects with ConfigInvalid when the address cannot be listened on. */
  async start(): Promise<void> {
    const { host, queue, registry, log, metrics } = this.options;
    const batcher = new PublishBatcher(queue, this.limits, this.counts, log, metrics, this.entrance);
    const aedes = await this.createAedes(batcher);
    const listeners = new MqttListeners(this.options, {
      arrivals: this.arrivals,
      counters: this.counts,
      log,
      handshakeMs: this.limits.connectMs,
      onArrival: (arrival) => this.accept(arrival, aedes, batcher),
      refused: this.reports.atEntrance,
      onRenewal: () => this.sessions.certificatesChanged(),
    });
    this.batcher = batcher;
    this.aedes = aedes;
    this.listeners = listeners;
    await this.entrance.start();
    try {
      this.bound = await listeners.listen();
      this.listening = true;
    } catch (error) {
      await this.release();
      throw error;
    }
    this.unwatch = registry.watch((changes) => {
      this.rights.registryChanged(changes);
      this.sessions.registryChanged(changes);
    });
    this.sweeper = setInterval(() => this.sweep(batcher), SWEEP_MS);
    this.refusals?.start();
    log.info({ event: 'mqtt_listening', host, ...this.bound }, 'MQTT clients can connect');
  }

  /**
   * Takes no more clients and packets, waits for the queue to confirm what is on its way, sends the acknowledgements,
   * and closes every client. Publishes that the queue has not confirmed by then are given up without an
   * acknowledgement.
   */
  async stop(deadlineMs: number): Promise<void> {
    this.listeners?.close();
    this.listening = false;
    for (const framedSocket of this.sockets) framedSocket.freeze();
    await this.batcher?.drain(deadlineMs * DRAIN_SHARE);
    await this.release();
  }

  private async release(): Promise<void> {
    this.unwatch();
    clearInterval(this.sweeper);
    const { aedes, batcher } = this;
    // Acknowledgements are written at most one turn of the event loop after their confirm.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
    if (aedes) await new Promise<void>((resolve) => aedes.close(resolve));
    await this.waitForCloses();
    await batcher?.drain(SWEEP_MS);
    batcher?.close();
    await Promise.all([this.refusals?.stop(), this.entrance.stop()]);
    this.sessions.clear();
  }

  /** Gives closed clients up to `SWEEP_MS` to read their last acknowledgements, then cuts their sockets. */
  private async waitForCloses(): Promise<void> {
    const end = clock.passed() + SWEEP_MS;
    while (this.sockets.size > 0 && clock.passed() < end) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const framedSocket of this.sockets) framedSocket.cut();
    this.sockets.clear();
  }

  private async createAedes(batcher: PublishBatcher): Promise<Aedes> {
    const { limits, rights, budget, counts, sessions } = this;
    const { log, registry, dead, metrics } = this.options;
    const receipts = this.options.receipts ?? new Receipts({ log, metrics });
    this.refusals = dead && new RefusedPublishes(dead, registry, counts, log, metrics);
    const onRefused = this.options.onRefused ?? this.refusals?.keep ?? (() => {});
    const publishing = new Publishing({
      counters: counts,
      rights,
      batcher,
      budget,
      receipts,
      sessionOf: sessions.of,
      onRefused,
      offenders: new Offenders(limits.refusedPublishes),
      onOverlong: this.reports.overlong,
      mostQos2: limits.sessionQos2,
      known: { count: 0, most: limits.knownPublishes },
      onBrought: (bridge, farm, sensor) => sessions.subscribers.brought(bridge, farm, sensor),
    });
    this.publishing = publishing;
    const admission = new Admission({
      limits,
      counters: counts,
      log,
      registry,
      rights,
      secretKeys: this.options.secretKeys ?? (() => undefined),
      addresses: this.addresses,
      isRevoked: ({ key }) => this.listeners?.isRevoked(key) ?? false,
      unavailable: () => batcher.shut && (budget.full || sessions.size >= limits.connectionsWhileShut),
      admit: (client, identity, keepalive) => this.admit(client, identity, keepalive),
      refused: this.reports.atConnect,
    });
    const aedes = await Aedes.createBroker({
      persistence: sessions.store,
      connectTimeout: limits.connectMs,
      // The framed socket holds packets back until the client is let in, so the library never has to queue one.
      queueLimit: 1,
      preConnect: admission.preConnect,
      authenticate: admission.authenticate,
      authorizePublish: publishing.authorizePublish,
      authorizeSubscribe: (client, subscription, callback) =>
        callback(null, sessions.grant(client, subscription) ? subscription : null),
      authorizeForward: (client, packet) => (sessions.mayHear(client, packet.topic) ? packet : null),
    });
    aedes.on('clientError', (client, error) => sessions.failed(client, error));
    aedes.on('clientReady', (client) => sessions.ready(client));
    aedes.on('subscribe', (subscriptions, client) => sessions.subscribed(client, subscriptions));
    aedes.on('unsubscribe', (topics, client) => sessions.unsubscribed(client, topics));
    // The library's types leave the `error` event out. Without a listener that event would end the process.
    const emitter: EventEmitter = aedes;
    emitter.on('error', (error: unknown) => log.error({ event: 'mqtt_error' }, explain(error)));
    return aedes;
  }

  private admit(client: Client, identity: Identity, keepaliveSeconds: number): void {
    this.sessions.admit(client, identity, keepaliveSeconds);
    const { conn } = client;
    // It is closed a turn later, for the library is still at its CONNECT.
    if (conn instanceof FramedSocket && !this.arrivals.letIn(conn.arrival)) setImmediate(() => conn.cut());
  }

  private takenBy(state: SessionState): TakenPublishes {
    if (!this.publishing) throw new Error('the broker was not started');
    return this.publishing.takenBy(state);
  }

  private accept(arrival: IncomingConnection, aedes: Aedes, batcher: PublishBatcher): void {
    const { limits, budget } = this;
    const framedSocket = new FramedSocket(arrival, {
      limits,
      budget,
      counters: this.counts,
      shut: () => batcher.shut,
      refused: (why, packet) => this.reports.onSocket(arrival.address, why, this.sessions.of(client)?.identity, packet),
    });
    this.sockets.add(framedSocket);
    const client = aedes.handle(framedSocket);
    arrival.wire.once('close', () => this.sockets.delete(framedSocket));
    framedSocket.once('close', () => this.sessions.gone(client));
  }

  private sweep(batcher: PublishBatcher): void {
    this.sessions.sweep();
    batcher.prune();
  }
}
