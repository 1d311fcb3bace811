import type { Client, PublishPacket } from 'aedes';
import type { Publish } from '../../telemetry/batch.ts';
import { isBridgeNotice } from '../../telemetry/notices.ts';
import { UNASSIGNED } from '../../telemetry/registry/things.ts';
import { type Identity, ownerOf } from '../auth/identity.ts';
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

/**
 * Called with every publish that is refused, and with whose client sent it. `sent`: how long its payload was, when this is only its
 * beginning. Its PUBACK is sent when the promise resolves. Must not throw or reject.
 */
export type OnRefused = (
  publish: Publish,
  reason: RefusedReason,
  client: Identity,
  sent?: number,
) => void | Promise<void>;

export interface PublishingParts {
  readonly counters: BrokerCounters;
  readonly rights: Rights;
  readonly batcher: PublishBatcher;
  readonly budget: MemoryBudget;
  readonly receipts: Receipts;
  readonly sessionOf: (client: Client | null) => Session | undefined;
  readonly onRefused: OnRefused;
  readonly offenders: Offenders;
  /** Told of a publish whose payload of `sent` bytes is over the limit: from where it came and whose it is. Must not throw. */
  readonly onOverlong: (from: string, publish: Publish, sent: number) => void;
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
  /** How long the payload was, when it was over the limit and only its beginning is here; and from where it came. */
  readonly sent?: number | undefined;
  readonly from?: string;
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
    const { counters, receipts, mostQos2, known } = this.parts;
    const offer = this.offer.bind(this, session);
    const who = ownerOf(session.identity);
    const budget = { give: (bytes: number) => this.parts.budget.give(bytes, who) };
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
    const { topic, received, sent } = publish;
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
      const whole = isBrought ? { ...taken, via: { kind: 'bridge', id: identity.sensor } as const } : taken;
      if (sent === undefined) batcher.offer(whole, publish);
      else this.refuseOverlong(whole, publish, identity, sent);
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

  /** It would be as long when it is sent again: it is acknowledged, and its beginning kept under the name of its sensor. */
  private refuseOverlong(taken: Publish, publish: Offered & RefusablePublisher, client: Identity, sent: number): void {
    const { counters, onOverlong } = this.parts;
    counters.overlongPublishes += 1;
    onOverlong(publish.from ?? '', taken, sent);
    void this.refuse(taken, 'too_large', client, sent).then((fate) => publish.settle(fate));
  }

  /** Resolves when the dead letter is kept, or counted. */
  private async refuse(
    publish: Publish,
    reason: RefusedReason,
    client: Identity,
    sent?: number,
  ): Promise<'kept' | 'offence'> {
    const { counters, onRefused, offenders } = this.parts;
    if (reason === 'too_many_sensors') counters.tooManySensors += 1;
    else if (reason === 'not_authorised') counters.notAuthorised += 1;
    await onRefused(publish, reason, client, sent);
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
