import type { Client, PublishPacket } from 'aedes';
import type { Publish } from '../../telemetry/batch.ts';
import { isBridgeNotice } from '../../telemetry/notices.ts';
import { UNASSIGNED } from '../../telemetry/registry/things.ts';
import type { Identity } from '../auth/identity.ts';
import type { Offenders } from '../auth/offenders.ts';
import { MOST_TOPIC, type RefusedReason, type Rights } from '../auth/rights.ts';
import type { BrokerCounters } from '../counters.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionState } from '../sessions/session-state.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { PublishBatcher, Publisher } from './publish-batcher.ts';
import type { Receipts } from './receipts.ts';
import type { TakenFate } from './taken-publish.ts';
import { type KnownPublishes, TakenPublishes } from './taken-publishes.ts';

/** Called with every publish that is refused, and with whose client sent it. Its PUBACK is sent when the promise resolves. Must not throw or reject. */
export type OnRefused = (publish: Publish, reason: RefusedReason, client: Identity) => void | Promise<void>;

export interface PublishingParts {
  readonly counters: BrokerCounters;
  readonly rights: Rights;
  readonly batcher: PublishBatcher;
  readonly budget: MemoryBudget;
  readonly receipts: Receipts;
  readonly sessionOf: (client: Client | null) => Session | undefined;
  readonly onRefused: OnRefused;
  readonly offenders: Offenders;
  /** Called for each publish of a bridge that the bridge has a right to. */
  readonly onBrought: (bridge: SessionState, farm: string, sensor: string) => void;
  /** Most QoS 2 publishes of a session without their PUBREL. */
  readonly mostQos2: number;
  readonly known: KnownPublishes;
}

/** The topic of a will inside the MQTT library, once Loam has taken it. No client may subscribe to it. */
const INTERNAL_TOPIC = 'taken';
const NOTHING = Buffer.alloc(0);

type Callback = (error?: Error | null) => void;

/** What is offered: a topic and a payload, with its receipt. */
interface Offered {
  readonly topic: string;
  readonly received: number;
}

/** Tells the publisher of a publish what became of it: also that it was refused once too often. */
interface RefusablePublisher extends Omit<Publisher, 'settle'> {
  settle(fate: TakenFate): void;
}

/**
 * Decides where a publish goes: to the queue, or, when its client has no right to it, to the dead letters. It is acknowledged then, and is
 * gone. `TakenPublishes` says what is acknowledged when.
 */
export class Publishing {
  private readonly parts: PublishingParts;

  constructor(parts: PublishingParts) {
    this.parts = parts;
  }

  /** What takes the publishes of a new session. */
  takenBy(session: SessionState): TakenPublishes {
    const { counters, budget, receipts, mostQos2, known } = this.parts;
    const offer = this.offer.bind(this, session);
    return new TakenPublishes({ counters, budget, receipts, mostQos2, known, holdsQos0: false, offer }, !session.clean);
  }

  /** The library's hook for publishes: of clients only wills come to it, for all else is taken before it. */
  readonly authorizePublish = (client: Client | null, packet: PublishPacket, callback: Callback): void => {
    const { topic } = packet;
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload;
    divert(packet);
    const session = this.parts.sessionOf(client);
    // The library publishes a will after the connection has ended.
    if (!client?.closed || !session) {
      callback(new Error('no client publishes this'));
      return;
    }
    if (this.parts.rights.mayDropWill(session.state.identity, topic)) {
      this.parts.counters.notices += 1;
      callback();
      return;
    }
    this.offer(session.state, { ...WILL, topic, received: this.parts.receipts.next() }, payload);
    callback();
  };

  private offer(session: SessionState, publish: Offered & RefusablePublisher, payload: Buffer): void {
    const { rights, batcher, counters } = this.parts;
    const { identity } = session;
    const { topic, received } = publish;
    if (rights.passesOver(identity, topic)) {
      counters[isBridgeNotice(topic) ? 'bridgeNotices' : 'notices'] += 1;
      publish.settle('kept');
      return;
    }
    const verdict = rights.publish(identity, topic);
    if (verdict.may) {
      const { farm, field, sensor } = verdict;
      const taken = { farm, field, sensor, topic, payload, received };
      const isBrought = identity.role === 'bridge';
      if (isBrought) this.parts.onBrought(session, farm, sensor);
      batcher.offer(isBrought ? { ...taken, via: { kind: 'bridge', id: identity.sensor } } : taken, publish);
      return;
    }
    const { farm, sensor } = identity;
    const refused = { farm, field: UNASSIGNED, sensor, topic: topic.slice(0, MOST_TOPIC), payload, received };
    const isBridge = identity.role === 'bridge';
    void this.refuse(
      isBridge ? { ...refused, via: { kind: 'bridge', id: sensor } } : refused,
      verdict.reason,
      identity,
    ).then((fate) => publish.settle(fate));
  }

  /** Resolves when the dead letter is kept, or counted. */
  private async refuse(publish: Publish, reason: RefusedReason, client: Identity): Promise<'kept' | 'offence'> {
    const { counters, onRefused, offenders } = this.parts;
    if (reason === 'too_many_sensors') counters.tooManySensors += 1;
    else counters.notAuthorised += 1;
    await onRefused(publish, reason, client);
    // A bridge passes on what its devices publish: it is not closed because of one of them.
    const blamed = client.role === 'sensor' && reason === 'not_authorised';
    return blamed && offenders.isOffence(publish) ? 'offence' : 'kept';
  }
}

/** The publisher of a will: its client has gone. */
const WILL: RefusablePublisher = { waits: false, atMostOnce: true, settle: () => {} };

/**
 * Keeps the library from routing the publish: to subscribers of commands, to its own `$SYS/` topics (which would
 * disconnect others), or into its memory of retained messages, which has no limit.
 */
function divert(packet: PublishPacket): void {
  packet.topic = INTERNAL_TOPIC;
  packet.payload = NOTHING;
  packet.retain = false;
}
