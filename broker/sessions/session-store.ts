import { Readable } from 'node:stream';
import { isDeepStrictEqual } from 'node:util';
import type { Client, PublishPacket } from 'aedes';
import type { Identity } from '../auth/identity.ts';
import type { BrokerCounters } from '../counters.ts';
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
 * Among the subscriptions that are restored: no topic that anybody may subscribe to. It makes the library say "session present"
 * [MQTT-3.2.2-2] of a session without subscriptions too.
 */
export const PRESENT = 'present';

/**
 * The state of every session, in memory: of clients that are connected, and of those that said clean=0 and sleep.
 * It is what the MQTT library calls a persistence, with bounds.
 *
 * A broker that restarts knows no sessions any more, and says so in CONNACK. Nothing is lost with them: commands are kept in a log.
 * Nothing is ever retained, and wills are kept by their connections alone.
 */
export class SessionStore {
  private readonly limits: StoreLimits;
  private readonly counters: BrokerCounters;
  private readonly owners = new Map<string, { client: Named; state: SessionState }>();
  /** Oldest first. */
  private readonly sleeping = new Map<string, SessionState>();
  private readonly sleepingOf = new Map<string, Set<string>>();
  private connections = 0;

  constructor(limits: StoreLimits, counters: BrokerCounters) {
    this.limits = limits;
    this.counters = counters;
  }

  /** How many sessions wait for their client to come back. */
  get asleep(): number {
    return this.sleeping.size;
  }

  /** A client was let in: the state it goes on with, which is new unless the client asked for the old one and it is still there. */
  begin(client: Pick<Client, 'id' | 'clean'>, identity: Identity): SessionState {
    const { id, clean } = client;
    const before = this.owners.get(id)?.state ?? this.sleeping.get(id);
    // What let the client in decides what disconnects it: one that came with a certificate would go on after its secret was changed.
    const isTheirs = before !== undefined && isDeepStrictEqual(before.identity, identity);
    const goesOn = isTheirs && !before.clean && !clean;
    if (before && !goesOn) before.end();
    this.forgetSleeping(id);
    const state = goesOn ? before : new SessionState(id, identity, clean);
    if (goesOn) state.resume();
    state.since = Date.now();
    this.connections += 1;
    state.connection = this.connections;
    this.owners.set(id, { client, state });
    return state;
  }

  /** The client's connection has ended. Its session sleeps, or ends with it. */
  end(client: Named): void {
    const owner = this.owners.get(client.id);
    // Somebody with the same identity and client id may have taken over.
    if (owner?.client !== client) return;
    this.owners.delete(client.id);
    const { state } = owner;
    if (state.clean) state.end();
    else this.putToSleep(state);
  }

  /** The session of a client. Undefined of one whose session another connection has taken over: its late answers are about ids that may be others by now. */
  stateOf(client: Named): SessionState | undefined {
    const owner = this.owners.get(client.id);
    return owner?.client === client ? owner.state : undefined;
  }

  /** Ends the sessions that slept too long, and those whose identity no longer holds. */
  expire(holds: (identity: Identity) => boolean): void {
    const oldest = performance.now() - this.limits.sessionMs;
    for (const state of [...this.sleeping.values()]) {
      if (state.asleepSince >= oldest && holds(state.identity)) continue;
      this.drop(state);
    }
  }

  private putToSleep(state: SessionState): void {
    state.asleepSince = performance.now();
    this.sleeping.set(state.id, state);
    const owner = ownerOf(state);
    const ofIdentity = this.sleepingOf.get(owner) ?? new Set<string>();
    ofIdentity.add(state.id);
    this.sleepingOf.set(owner, ofIdentity);
    const tooMany = ofIdentity.size > this.limits.sessionsPerIdentity ? first(ofIdentity) : undefined;
    const id = tooMany ?? (this.sleeping.size > this.limits.sessions ? first(this.sleeping.keys()) : undefined);
    const victim = id === undefined ? undefined : this.sleeping.get(id);
    if (victim) this.drop(victim);
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
    const owner = ownerOf(state);
    const ofIdentity = this.sleepingOf.get(owner);
    ofIdentity?.delete(id);
    if (ofIdentity?.size === 0) this.sleepingOf.delete(owner);
  }

  // From here on: what the MQTT library calls. Every method is asynchronous because it expects promises.

  async setup(): Promise<void> {}
  async destroy(): Promise<void> {}

  async subscriptionsByClient({ id }: Named): Promise<{ topic: string; qos: number }[]> {
    const state = this.owners.get(id)?.state;
    if (!state?.resumed) return [];
    return [{ topic: PRESENT, qos: 0 }, ...[...state.subscriptions].map(([topic, qos]) => ({ topic, qos }))];
  }

  /** Granted subscriptions are written down where they are granted: the library asks to store the denied ones too. */
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
  /** Asked after a PUBACK. */
  async outgoingClearMessageId(client: Named, { cmd, messageId = 0 }: Numbered): Promise<void> {
    if (cmd === 'puback') this.stateOf(client)?.finish(messageId, 'acknowledged');
  }
  /** What a session that wakes up has to be sent again [MQTT-4.4.0-1]. */
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

  /** QoS 2 publishes are written down where they are taken, so the library finds each here and publishes none itself. */
  async incomingStorePacket(): Promise<void> {}
  /** Asked at a PUBLISH, and at a PUBREL: that frees the id of a copy that is still on its way to the queue, too. */
  async incomingGetPacket(client: Named, { cmd, messageId = 0 }: Numbered): Promise<Numbered> {
    const state = this.stateOf(client);
    const isThere = cmd === 'pubrel' ? state?.hasBegun(messageId) : state?.hasTaken(messageId);
    if (!isThere) throw new Error('no such packet');
    return { messageId };
  }
  async incomingDelPacket(client: Named, { messageId = 0 }: Numbered): Promise<void> {
    this.stateOf(client)?.release(messageId);
  }
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

function ownerOf({ identity: { farm, sensor } }: SessionState): string {
  return `${farm}/${sensor}`;
}

function first<T>(items: Iterable<T>): T | undefined {
  for (const item of items) return item;
  return undefined;
}
