import type { EventEmitter } from 'node:events';
import type { Socket } from 'node:net';
import { Aedes, type Client } from 'aedes';
import type { Log } from '../backbone/log/port.ts';
import type { Queue } from '../backbone/queue/port.ts';
import { explain } from '../core/errors.ts';
import type { Health, Part } from '../core/lifecycle.ts';
import type { Logger } from '../core/logger.ts';
import type { RegistryView } from '../telemetry/registry.ts';
import { Admission } from './admission.ts';
import { type BrokerCounters, newCounters } from './counters.ts';
import { Door } from './door.ts';
import { Gate } from './gate.ts';
import { type Identity, stillHolds } from './identity.ts';
import { Intake } from './intake.ts';
import { type BrokerLimits, DEFAULT_BROKER_LIMITS } from './limits.ts';
import { Listener } from './listener.ts';
import { type OnRefused, Publishing } from './publishing.ts';
import { Refusals } from './refusals.ts';
import { Rights } from './rights.ts';
import { Session } from './session.ts';

export interface BrokerOptions {
  readonly host: string;
  /** 0 picks a free port. */
  readonly port: number;
  readonly queue: Queue;
  readonly registry: RegistryView;
  readonly log: Logger;
  readonly limits?: Partial<BrokerLimits>;
  /** Where refused publishes are kept, unless `onRefused` does something else with them. */
  readonly dead?: Log;
  readonly onRefused?: OnRefused;
}

const SWEEP_MS = 100;
/** Of the time to stop in, the part that may go into waiting for the queue. */
const DRAIN_SHARE = 0.7;

/**
 * The MQTT door: lets in who the registry knows, takes their publishes, and acknowledges each after the queue has confirmed it.
 *
 * A publish goes socket → `Gate` (whole packets, bounds) → the MQTT library → `Publishing` (rights) → `Door` (batches) → queue,
 * and its acknowledgement back through `Session` (order) → library → gate → socket.
 */
export class Broker implements Part {
  readonly name = 'broker';
  private readonly options: BrokerOptions;
  private readonly limits: BrokerLimits;
  private readonly counts = newCounters();
  private readonly sessions = new Map<Client, Session>();
  /** Also of clients that have gone, whose will is still to come. */
  private readonly sessionOf = new WeakMap<Client, Session>();
  private readonly gates = new Set<Gate>();
  private readonly intake: Intake;
  private readonly rights: Rights;
  private door: Door | undefined;
  private aedes: Aedes | undefined;
  private listener: Listener | undefined;
  private sweeper: NodeJS.Timeout | undefined;
  private unwatch: () => void = () => {};
  private listening = false;
  private boundPort = 0;

  constructor(options: BrokerOptions) {
    this.options = options;
    this.limits = { ...DEFAULT_BROKER_LIMITS, ...options.limits };
    this.intake = new Intake(this.limits);
    this.rights = new Rights(options.registry, this.limits.unregisteredSensors);
  }

  get counters(): Readonly<BrokerCounters> {
    return this.counts;
  }

  /** The port that is listened on; 0 before `start`. */
  get port(): number {
    return this.boundPort;
  }

  /** How many clients are let in at the moment. */
  get clients(): number {
    return this.sessions.size;
  }

  health(): Health[] {
    const mqtt = !this.listening ? { name: 'mqtt', ok: false, why: 'not listening' } : { name: 'mqtt', ok: true };
    return this.door ? [mqtt, this.door.health()] : [mqtt];
  }

  /** Resolves when clients can connect. Rejects with ConfigInvalid when the address cannot be listened on. */
  async start(): Promise<void> {
    const { host, port, queue, registry, log } = this.options;
    const door = new Door(queue, this.limits, this.counts, log);
    const aedes = await this.createAedes(door);
    const listener = new Listener({
      host,
      port,
      maxConnections: this.limits.connections,
      onSocket: (socket) => this.welcome(socket, aedes, door),
      onDrop: () => {
        this.counts.refusedConnections += 1;
      },
    });
    this.door = door;
    this.aedes = aedes;
    this.listener = listener;
    try {
      this.boundPort = await listener.listen();
      this.listening = true;
    } catch (error) {
      await this.release();
      throw error;
    }
    this.unwatch = registry.watch((current) => {
      this.rights.registryChanged();
      for (const [client, session] of this.sessions) {
        if (!stillHolds(session.identity, current)) this.revoke(client, session);
      }
    });
    this.sweeper = setInterval(() => this.sweep(door), SWEEP_MS);
    log.info({ event: 'mqtt_listening', host, port: this.boundPort }, 'MQTT clients can connect');
  }

  /**
   * Takes no more clients and packets, waits for the confirms under way, sends their acknowledgements, closes every client.
   * What the queue has not confirmed by then is given up without an acknowledgement.
   */
  async stop(deadlineMs: number): Promise<void> {
    this.listener?.close();
    this.listening = false;
    for (const gate of this.gates) gate.freeze();
    await this.door?.drain(deadlineMs * DRAIN_SHARE);
    await this.release();
  }

  private async release(): Promise<void> {
    this.unwatch();
    clearInterval(this.sweeper);
    const { aedes, door } = this;
    // Acknowledgements are written within a turn of the loop after their confirm.
    for (let turn = 0; turn < 2; turn++) await new Promise((resolve) => setImmediate(resolve));
    if (aedes) await new Promise<void>((resolve) => aedes.close(resolve));
    await this.farewell();
    await door?.drain(SWEEP_MS);
    door?.close();
    this.sessions.clear();
  }

  /** Gives closed clients a moment to read their last acknowledgements. */
  private async farewell(): Promise<void> {
    const end = performance.now() + SWEEP_MS;
    while (this.gates.size > 0 && performance.now() < end) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    for (const gate of this.gates) gate.cut();
    this.gates.clear();
  }

  private async createAedes(door: Door): Promise<Aedes> {
    const { limits, rights, intake, counts } = this;
    const { log, registry, dead } = this.options;
    const onRefused = this.options.onRefused ?? (dead ? new Refusals(dead, counts, log).keep : () => {});
    const sessionOf = (client: Client | null) => (client ? this.sessionOf.get(client) : undefined);
    const publishing = new Publishing({ counters: counts, rights, door, intake, sessionOf, onRefused });
    const admission = new Admission({
      limits,
      counters: counts,
      log,
      registry,
      rights,
      unavailable: () => door.shut && (intake.full || this.sessions.size >= limits.connectionsWhileShut),
      admit: (client, identity, keepalive) => this.admit(client, identity, keepalive),
    });
    const aedes = await Aedes.createBroker({
      connectTimeout: limits.connectMs,
      // The gate holds packets back until the client is let in, so none is ever queued here.
      queueLimit: 1,
      preConnect: admission.preConnect,
      authenticate: admission.authenticate,
      authorizePublish: publishing.authorizePublish,
      authorizeSubscribe: (client, subscription, callback) => {
        const session = this.sessions.get(client);
        const may = session !== undefined && rights.subscribe(session.identity, subscription.topic);
        if (!may) counts.notAuthorised += 1;
        callback(null, may ? subscription : null);
      },
      authorizeForward: (client, packet) => {
        const session = this.sessions.get(client);
        return session && rights.subscribe(session.identity, packet.topic) ? packet : null;
      },
    });
    aedes.on('clientReady', (client) => this.sessions.get(client)?.gate.open());
    // Its own types leave this event out, and unheard it would end the process.
    const emitter: EventEmitter = aedes;
    emitter.on('error', (error: unknown) => log.error({ event: 'mqtt_error' }, explain(error)));
    return aedes;
  }

  private welcome(socket: Socket, aedes: Aedes, door: Door): void {
    this.counts.connected += 1;
    const { limits, intake } = this;
    const gate = new Gate(socket, { limits, intake, counters: this.counts, shut: () => door.shut });
    this.gates.add(gate);
    const client = aedes.handle(gate);
    socket.once('close', () => this.gates.delete(gate));
    gate.once('close', () => {
      this.sessions.get(client)?.close();
      this.sessions.delete(client);
    });
  }

  private admit(client: Client, identity: Identity, keepaliveSeconds: number): void {
    if (!(client.conn instanceof Gate)) return;
    const halfKeepaliveMs = keepaliveSeconds > 0 ? keepaliveSeconds * 500 : Number.POSITIVE_INFINITY;
    const session = new Session(identity, client.conn, Math.min(halfKeepaliveMs, this.limits.holdMs));
    this.sessions.set(client, session);
    this.sessionOf.set(client, session);
  }

  private revoke(client: Client, session: Session): void {
    this.counts.closedRevoked += 1;
    this.options.log.debug({ event: 'revoked', sensor: session.identity.sensor }, 'a client lost its rights');
    this.sessionOf.delete(client);
    session.close();
    client.close();
  }

  private sweep(door: Door): void {
    const now = performance.now();
    for (const [client, session] of this.sessions) {
      if (!session.waits || !session.heldTooLong(now)) continue;
      this.counts.closedHeld += 1;
      session.close();
      client.close();
    }
    door.prune();
  }
}
