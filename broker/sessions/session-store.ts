import { Readable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import type { Client, PublishPacket } from 'aedes';
import { clock } from '../../core/clock.ts';
import { type Identity, ownerOf } from '../auth/identity.ts';
import type { BrokerCounters } from '../counters.ts';
import type { TakenPublishes } from '../ingest/taken-publishes.ts';
import type { BrokerLimits } from '../limits.ts';
import { SessionState } from './session-state.ts';

type StoreLimits = Pick<BrokerLimits, 'sessions' | 'sessionsPerIdentity' | 'sessionMs'>;

interface Named {
  readonly id: string;
}
interface Numbered {
  readonly cmd?: string;
  readonly messageId?: number | undefined;
}

/**
 * A topic that is added to the restored subscriptions, and that no client may subscribe to. With it the library says
 * "session present" [MQTT-3.2.2-2] also for a session without subscriptions.
 */
export const PRESENT = 'present';

/**
 * The state of all sessions, in memory: those of connected clients, and those with clean=0 whose clients are away
 * ("asleep"). It implements the persistence of the MQTT library, with limits.
 *
 * After a restart the broker has no sessions, and says so in CONNACK. No command is lost by that: commands are kept in
 * a log. No message is ever retained. Each connection keeps its own will.
 */
export class SessionStore {
  private readonly limits: StoreLimits;
  private readonly counters: BrokerCounters;
  private readonly owners = new Map<string, { client: Named; state: SessionState }>();
  /** In the order in which their clients left, the first one first. */
  private readonly sleeping = new Map<string, SessionState>();
  private readonly sleepingOf = new Map<string, Set<string>>();
  private readonly takenBy: (state: SessionState) => TakenPublishes;
  private connections = 0;

  constructor(limits: StoreLimits, counters: BrokerCounters, takenBy: (state: SessionState) => TakenPublishes) {
    this.takenBy = takenBy;
    this.limits = limits;
    this.counters = counters;
  }

  /** How many sessions wait for their clients to come back. */
  get asleep(): number {
    return this.sleeping.size;
  }

  /** Called when a client is let in. Returns the old state when it is still here and may be resumed (clean=0), else a new one. */
  begin(client: Pick<Client, 'id' | 'clean'>, identity: Identity): SessionState {
    const { id, clean } = client;
    const before = this.owners.get(id)?.state ?? this.sleeping.get(id);
    // The identity decides when a client is disconnected, so only an equal one may resume. Otherwise a client with a
    // secret could resume a session begun with a certificate, and would stay connected after its secret was changed.
    const isTheirs = before !== undefined && isDeepStrictEqual(before.identity, identity);
    const goesOn = isTheirs && !before.clean && !clean;
    if (before && !goesOn) before.end();
    this.forgetSleeping(id);
    const state = goesOn ? before : new SessionState(id, identity, clean, this.takenBy);
    if (goesOn) state.resume();
    state.since = clock.now();
    this.connections += 1;
    state.connection = this.connections;
    this.owners.set(id, { client, state });
    return state;
  }

  /** Called when the client's connection has ended. Its session is kept (clean=0) or ends too. */
  end(client: Named): void {
    const owner = this.owners.get(client.id);
    // Another connection with the same identity and client id may have taken the session over.
    if (owner?.client !== client) return;
    this.owners.delete(client.id);
    const { state } = owner;
    if (state.clean) state.end();
    else this.putToSleep(state);
  }

  /**
   * The session of a client. Undefined when another connection has taken it over: late answers of the old connection
   * are ignored, because their message ids may be in use for something else by now.
   */
  stateOf(client: Named): SessionState | undefined {
    const owner = this.owners.get(client.id);
    return owner?.client === client ? owner.state : undefined;
  }

  /** Ends the sessions that were asleep for too long. */
  expire(): void {
    const oldest = clock.passed() - this.limits.sessionMs;
    for (const state of this.sleeping.values()) {
      if (state.asleepSince >= oldest) return;
      this.drop(state);
    }
  }

  /** Ends the sessions of one sensor that were asleep, and whose identity the registry no longer has. */
  expireOf(owner: string, holds: (identity: Identity) => boolean): void {
    for (const id of [...(this.sleepingOf.get(owner) ?? [])]) {
      const state = this.sleeping.get(id);
      if (state && !holds(state.identity)) this.drop(state);
    }
  }

  private putToSleep(state: SessionState): void {
    state.asleepSince = clock.passed();
    this.sleeping.set(state.id, state);
    const owner = ownerOf(state.identity);
    const ofIdentity = this.sleepingOf.get(owner) ?? new Set<string>();
    ofIdentity.add(state.id);
    this.sleepingOf.set(owner, ofIdentity);
    const tooMany = ofIdentity.size > this.limits.sessionsPerIdentity ? first(ofIdentity) : undefined;
    const id = tooMany ?? (this.sleeping.size > this.limits.sessions ? first(this.sleeping.keys()) : undefined);
    const sessionToDrop = id === undefined ? undefined : this.sleeping.get(id);
    if (sessionToDrop) this.drop(sessionToDrop);
  }

  private drop(state: SessionState): void {
    this.counters.sessionsDropped += 1;
    this.forgetSleeping(state.id);
    state.end();
  }

  private forgetSleeping(id: string): void {
    const state = this.sleeping.get(id);
    if (!state) return;
    this.sleeping.delete(id);
    const owner = ownerOf(state.identity);
    const ofIdentity = this.sleepingOf.get(owner);
    ofIdentity?.delete(id);
    if (ofIdentity?.size === 0) this.sleepingOf.delete(owner);
  }

  // The rest is called by the MQTT library. Methods are asynchronous where it expects promises.

  async setup(): Promise<void> {}
  async destroy(): Promise<void> {}

  async subscriptionsByClient({ id }: Named): Promise<{ topic: string; qos: number }[]> {
    const state = this.owners.get(id)?.state;
    if (!state?.resumed) return [];
    return [{ topic: PRESENT, qos: 0 }, ...[...state.subscriptions].map(([topic, qos]) => ({ topic, qos }))];
  }

  /** Does nothing: `Sessions.grant` records granted subscriptions. The library would store the denied ones too. */
  async addSubscriptions(): Promise<void> {}
  async removeSubscriptions(client: Named, topics: readonly string[]): Promise<void> {
    for (const topic of topics) this.stateOf(client)?.subscriptions.delete(topic);
  }
  async cleanSubscriptions(): Promise<void> {}
  async subscriptionsByTopic(): Promise<[]> {
    return [];
  }

  async outgoingEnqueueCombi(): Promise<void> {}
  async outgoingUpdate(): Promise<void> {}
  /** The library calls this after a PUBACK. */
  async outgoingClearMessageId(client: Named, { cmd, messageId = 0 }: Numbered): Promise<void> {
    if (cmd === 'puback') this.stateOf(client)?.finish(messageId, 'acknowledged');
  }
  /** The commands that are sent again when a client resumes its session [MQTT-4.4.0-1]. */
  outgoingStream(client: Named): Readable {
    const unacknowledged = [...(this.stateOf(client)?.outgoing.values() ?? [])];
    return Readable.from(
      unacknowledged.map(
        ({ topic, payload, messageId }): PublishPacket => ({
          cmd: 'publish',
          topic,
          payload,
          messageId,
          qos: 1,
          dup: true,
          retain: false,
        }),
      ),
    );
  }

  // Publishes with QoS 2 and their PUBREL do not come to the library: `TakenPublishes` answers them.
  async incomingStorePacket(): Promise<void> {}
  async incomingGetPacket(): Promise<never> {
    throw new Error('no such packet');
  }
  async incomingDelPacket(): Promise<void> {}
  async cleanIncoming(): Promise<void> {}

  async storeRetained(): Promise<void> {}
  createRetainedStreamCombi(): Readable {
    return Readable.from([]);
  }
  async putWill(): Promise<void> {}
  async delWill(): Promise<void> {}
  streamWill(): Readable {
    return Readable.from([]);
  }
}

function first<T>(items: Iterable<T>): T | undefined {
  for (const item of items) return item;
  return undefined;
}
