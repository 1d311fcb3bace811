import type { Client, Subscription } from 'aedes';
import { LRUCache } from 'lru-cache';
import { clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import type { Change, RegistryView } from '../../telemetry/registry/registry.ts';
import { type ClientCertificate, hasEnded, isRevokedFor } from '../auth/client-certificate.ts';
import { type Identity, ownerOf, stillHolds } from '../auth/identity.ts';
import type { Rights } from '../auth/rights.ts';
import type { BrokerCounters } from '../counters.ts';
import { PublishBuckets } from '../ingest/publish-rate.ts';
import type { TakenPublishes } from '../ingest/taken-publishes.ts';
import type { BrokerLimits } from '../limits.ts';
import { FramedSocket } from '../mqtt/framed-socket.ts';
import { WrongAnswer } from '../mqtt/well-formed.ts';
import { Session } from './session.ts';
import type { SessionState } from './session-state.ts';
import { PRESENT, SessionStore } from './session-store.ts';
import { Subscribers } from './subscribers.ts';

export interface SessionsParts {
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  readonly rights: Rights;
  readonly registry: RegistryView;
  readonly log: Logger;
  /** Whether a list says that a client certificate was revoked. */
  readonly isRevoked: (certificate: ClientCertificate) => boolean;
  /** Makes what takes the publishes of a new session. */
  readonly takenBy: (state: SessionState) => TakenPublishes;
  /** Told when a client's connection is ended by another one with its client id. */
  readonly takenOver: (from: string, before: string, identity: Identity, clientId: string) => void;
}

const EXPIRE_MS = 60_000;

/** Every client that was let in: its connection, the state of its session, and its subscriptions. */
export class Sessions {
  /** The connected sessions, by the sensors whose commands they subscribed to. */
  readonly subscribers: Subscribers;
  /** The persistence of the MQTT library. */
  readonly store: SessionStore;
  private readonly parts: SessionsParts;
  private readonly connected = new Map<Client, Session>();
  /** The connected clients of each sensor, as `farm/id`: a change of the registry concerns few of them. */
  private readonly clientsOf = new Map<string, Set<Client>>();
  /** The connected clients by their ids, which begin with farm and sensor. */
  private readonly byId = new Map<string, Client>();
  /** Contains also clients that have disconnected: the library publishes their will after that. */
  private readonly allSessions = new WeakMap<Client, Session>();
  private readonly buckets: PublishBuckets;
  /** Sensors of whose wrong answers the log says something already: they come with each connection. */
  private readonly saidWrong = new LRUCache<string, true>({ max: 1_000, ttl: 3_600_000 });
  private lastExpiry = 0;

  constructor(parts: SessionsParts) {
    this.parts = parts;
    this.buckets = new PublishBuckets(parts.registry);
    this.store = new SessionStore(parts.limits, parts.counters, parts.takenBy);
    this.subscribers = new Subscribers(parts.limits.sessionCommands, parts.rights);
  }

  get size(): number {
    return this.connected.size;
  }

  /** The session of a client, also after the client has disconnected: its will is published then. */
  readonly of = (client: Client | null): Session | undefined => (client ? this.allSessions.get(client) : undefined);

  admit(client: Client, identity: Identity, keepaliveSeconds: number): void {
    if (!(client.conn instanceof FramedSocket)) return;
    this.tellOfTakeOver(client, client.conn, identity);
    const state = this.store.begin(client, identity);
    const session = new Session(state, client.conn, keepaliveSeconds * 1_000, this.parts.limits.holdMs);
    this.connected.set(client, session);
    const clients = this.clientsOf.get(ownerOf(identity)) ?? new Set<Client>();
    this.clientsOf.set(ownerOf(identity), clients.add(client));
    this.allSessions.set(client, session);
  }

  /** Called when CONNACK is sent, and the session's unacknowledged commands after it. */
  ready(client: Client): void {
    const session = this.connected.get(client);
    if (!session) return;
    session.framedSocket.open(this.buckets.of(session.identity), session, ownerOf(session.identity));
    this.subscribers.add(client, session.state, session.state.subscriptions.keys());
  }

  /** Whether the client may have this subscription; if so, records it. Asked again when a session is resumed. */
  grant(client: Client, { topic, qos }: Subscription): boolean {
    const session = this.connected.get(client);
    if (!session || topic === PRESENT) return false;
    const { identity, state } = session;
    const { subscriptions } = state;
    const may = this.parts.rights.subscribe(identity, topic);
    if (!may) this.parts.counters.notAuthorised += 1;
    if (!may || (!subscriptions.has(topic) && subscriptions.size >= this.parts.limits.sessionSubscriptions)) {
      subscriptions.delete(topic);
      return false;
    }
    subscriptions.set(topic, qos);
    return true;
  }

  /** Whether a message of this topic may be sent to the client: its rights may have changed since it subscribed. */
  mayHear(client: Client, topic: string): boolean {
    const session = this.connected.get(client);
    return session !== undefined && this.parts.rights.subscribe(session.identity, topic);
  }

  /** Called when SUBACK is sent. */
  subscribed(client: Client, subscriptions: readonly Subscription[]): void {
    const session = this.connected.get(client);
    if (!session) return;
    const topics = subscriptions.map(({ topic }) => topic).filter((topic) => session.state.subscriptions.has(topic));
    this.subscribers.add(client, session.state, topics);
  }

  unsubscribed(client: Client, topics: readonly string[]): void {
    for (const topic of topics) this.of(client)?.state.subscriptions.delete(topic);
    this.subscribers.remove(client, topics);
  }

  /** Called when the client's connection is closed over an error. Only what a person must mend at the device is said. */
  failed(client: Client, error: unknown): void {
    const session = this.of(client);
    if (!(error instanceof WrongAnswer) || !session) return;
    const name = ownerOf(session.identity);
    if (this.saidWrong.has(name)) return;
    this.saidWrong.set(name, true);
    this.parts.log.warn(
      { event: 'wrong_answer', sensor: name },
      'a client answered a command with PUBREC or PUBCOMP: its connection is closed; a command has QoS 1, and is answered with PUBACK',
    );
  }

  /** Called when the client's connection has ended, or is about to. */
  gone(client: Client): void {
    const session = this.connected.get(client);
    if (!session) return;
    session.close();
    this.connected.delete(client);
    if (this.byId.get(client.id) === client) this.byId.delete(client.id);
    const owner = ownerOf(session.identity);
    const clients = this.clientsOf.get(owner);
    clients?.delete(client);
    if (clients?.size === 0) this.clientsOf.delete(owner);
    this.subscribers.forget(client);
    this.store.end(client);
  }

  /** Disconnects clients that the registry no longer lets in, ends their sessions, and applies changed rates. */
  registryChanged(changes: readonly Change[]): void {
    const registry = this.parts.registry.current();
    const holds = (identity: Identity) => stillHolds(identity, registry);
    for (const { kind, id } of changes) {
      if (kind !== 'sensor') continue;
      for (const client of [...(this.clientsOf.get(id) ?? [])]) {
        const session = this.connected.get(client);
        if (session && !holds(session.identity)) this.revoke(client, session);
        else if (session) this.cutIfRevoked(client, session);
      }
      this.store.expireOf(id, holds);
    }
    this.buckets.registryChanged(changes);
    this.expire();
  }

  /** Disconnects clients whose certificate was revoked, now that other lists of those are in force. */
  certificatesChanged(): void {
    for (const [client, session] of [...this.connected]) this.cutIfRevoked(client, session);
  }

  /** Closes clients whose certificate has ended, that were silent or whose publishes were held too long. Ends old sessions once a minute. */
  sweep(): void {
    const now = clock.passed();
    for (const [client, session] of this.connected) {
      const { certified } = session.framedSocket.arrival;
      if (certified && hasEnded(certified)) this.cut(client, session, 'ended');
      if (!session.waits) continue;
      const held = session.heldTooLong(now);
      if (!held && !session.silentTooLong(now)) continue;
      if (held) this.parts.counters.closedHeld += 1;
      else this.parts.counters.closedSilent += 1;
      session.close();
      client.close();
    }
    if (now - this.lastExpiry > EXPIRE_MS) this.expire();
  }

  clear(): void {
    this.connected.clear();
    this.clientsOf.clear();
    this.byId.clear();
  }

  private tellOfTakeOver(client: Client, { arrival }: FramedSocket, identity: Identity): void {
    const before = this.byId.get(client.id)?.conn;
    this.byId.set(client.id, client);
    if (!(before instanceof FramedSocket) || before.destroyed) return;
    const clientId = client.id.slice(ownerOf(identity).length + 1);
    this.parts.takenOver(arrival.address, before.arrival.address, identity, clientId);
  }

  private revoke(client: Client, session: Session): void {
    this.parts.counters.closedRevoked += 1;
    this.parts.log.debug({ event: 'revoked', sensor: session.identity.sensor }, 'a client lost its rights');
    // Without a session in `everyone` its will is not published.
    this.allSessions.delete(client);
    this.gone(client);
    client.close();
  }

  private cutIfRevoked(client: Client, session: Session): void {
    const { certified } = session.framedSocket.arrival;
    if (certified === undefined) return;
    const { farm, sensor } = session.identity;
    const registered = this.parts.registry.current().sensor(farm, sensor);
    const isListed = registered !== undefined && isRevokedFor(registered, certified);
    if (isListed || this.parts.isRevoked(certified)) this.cut(client, session, 'revoked');
  }

  /** Its session may go on with another certificate of the same sensor. */
  private cut(client: Client, session: Session, why: 'revoked' | 'ended'): void {
    const { farm, sensor } = session.identity;
    this.parts.counters.closedCertificates += 1;
    this.parts.log.info({ event: 'certificate_cut', sensor: `${farm}/${sensor}`, why }, `a client certificate ${why}`);
    this.allSessions.delete(client);
    this.gone(client);
    client.close();
  }

  private expire(): void {
    this.lastExpiry = clock.passed();
    this.store.expire();
  }
}
