import type { Client, PublishPacket } from 'aedes';
import { silent } from '../../core/logger.ts';
import type { Publish } from '../../telemetry/batch.ts';
import { UNASSIGNED } from '../../telemetry/registry.ts';
import type { Identity } from '../auth/identity.ts';
import type { Offenders } from '../auth/offenders.ts';
import type { RefusedReason, Rights } from '../auth/rights.ts';
import type { BrokerCounters } from '../counters.ts';
import { DEFAULT_BROKER_LIMITS } from '../limits.ts';
import type { IncomingPublish } from '../mqtt/publish-packet.ts';
import type { Session } from '../sessions/session.ts';
import type { SessionState } from '../sessions/session-state.ts';
import type { MemoryBudget } from './memory-budget.ts';
import { BEST_EFFORT, type Fate, type PublishBatcher } from './publish-batcher.ts';
import { Receipts } from './receipts.ts';

/** Called with every publish that is refused. Its PUBACK is sent when the promise resolves. Must not throw or reject. */
export type OnRefused = (publish: Publish, reason: RefusedReason) => void | Promise<void>;

export interface PublishingParts {
  readonly counters: BrokerCounters;
  readonly rights: Rights;
  readonly batcher: PublishBatcher;
  readonly budget: MemoryBudget;
  /** Absent: one of its own, with the default limits. */
  readonly receipts?: Receipts;
  readonly sessionOf: (client: Client | null) => Session | undefined;
  readonly onRefused: OnRefused;
  readonly offenders: Offenders;
  /** Called for each publish of a bridge that the bridge has a right to. */
  readonly onBrought: (bridge: SessionState, farm: string, sensor: string) => void;
  /** Most QoS 2 publishes of a session without their PUBREL. */
  readonly mostQos2: number;
}

/** The topic of every publish inside the MQTT library, once Loam has taken it. No client may subscribe to it. */
const INTERNAL_TOPIC = 'taken';
const NOTHING = Buffer.alloc(0);
/** Longer topics are never valid in Loam; a dead letter keeps this much of them. */
const MOST_TOPIC = 1024;
const CONTROL = /\p{Cc}/u;

type Callback = (error?: Error | null) => void;

/**
 * Takes publishes. PUBACK and PUBREC are sent in the order of the publishes, and only after the queue's confirm. A
 * publish that its client has no right to is acknowledged and dropped.
 */
export class Publishing {
  private readonly parts: PublishingParts;
  private readonly receipts: Receipts;

  constructor(parts: PublishingParts) {
    this.parts = parts;
    this.receipts = parts.receipts ?? new Receipts({ limits: DEFAULT_BROKER_LIMITS, log: silent });
  }

  /** Takes a publish with QoS 0 or 1 as it came from the socket. */
  readonly take = (session: Session, publish: IncomingPublish, room: number): void => {
    const { framedSocket } = session;
    const { qos, messageId } = publish;
    const finish = session.begin(qos === 0 ? () => {} : () => framedSocket.acknowledge(messageId));
    this.keep(session, publish, room, finish, (error) => framedSocket.destroy(error));
  };

  /** The library's hook for publishes with QoS 2 and for wills. A PUBREC is sent only after its callback. */
  readonly authorizePublish = (client: Client | null, packet: PublishPacket, callback: Callback): void => {
    const { counters, budget, mostQos2 } = this.parts;
    const { topic, qos, messageId = 0 } = packet;
    const payload = typeof packet.payload === 'string' ? Buffer.from(packet.payload) : packet.payload;
    divert(packet);
    const session = this.parts.sessionOf(client);
    if (!client || !session) {
      callback(new Error('nobody publishes this'));
      return;
    }
    // A will comes after the connection has ended. It has no room in the budget and gets no acknowledgement.
    if (client.closed) {
      this.offer(session, topic, payload, true, () => {});
      callback();
      return;
    }
    const room = session.framedSocket.claim();
    const { state } = session;
    if (CONTROL.test(topic) || (state.unreleased >= mostQos2 && !state.hasBegun(messageId))) {
      counters.malformed += 1;
      budget.give(room);
      callback(new Error('control character in a topic, or too many publishes without their PUBREL'));
      return;
    }
    const finish = session.begin(() => callback());
    if (state.hasTaken(messageId)) {
      // The client sent again what the queue has already: only the PUBREC is missing [MQTT-4.3.3-2].
      budget.give(room);
      finish();
      return;
    }
    const entry = state.receive(messageId);
    const settled = (isKept: boolean) => state.settle(messageId, entry, isKept);
    this.keep(session, { topic, payload, qos, messageId }, room, finish, callback, settled);
  };

  /**
   * Calls `finish` when the publish may be acknowledged: the queue has it, or it was refused. Calls `fail` when the
   * client must be closed. Calls neither when the publish was given up; with QoS 0 it calls `finish` even then.
   */
  private keep(
    session: Session,
    { topic, payload, qos }: IncomingPublish,
    room: number,
    finish: () => void,
    fail: (error: Error) => void,
    settled: (isKept: boolean) => void = () => {},
  ): void {
    const { counters, budget } = this.parts;
    counters.received += 1;
    this.offer(session, topic, payload, qos === 0, (fate) => {
      budget.give(room);
      if (fate === 'offence') {
        if (!session.waits) return;
        counters.closedOffenders += 1;
        session.close();
        fail(new Error('too many publishes without a right'));
        return;
      }
      settled(fate !== 'dropped');
      // Given up although its client waited for it: the client is being closed, and must get no acknowledgement.
      if (fate !== 'dropped' || qos === 0) finish();
    });
  }

  private offer(
    session: Session,
    topic: string,
    payload: Buffer,
    bestEffort: boolean,
    settle: (fate: Fate | 'refused' | 'offence') => void,
  ): void {
    const { rights, batcher, counters } = this.parts;
    const { identity } = session;
    const verdict = rights.publish(identity, topic);
    if (verdict.may) {
      const { farm, field, sensor } = verdict;
      if (identity.role === 'bridge') this.parts.onBrought(session.state, farm, sensor);
      this.receipts.give(farm, sensor, (received) => {
        if (bestEffort || session.waits) {
          batcher.offer({ farm, field, sensor, topic, payload, received }, bestEffort ? BEST_EFFORT : session, settle);
          return;
        }
        // The publish was held, and its client has disconnected meanwhile. The client will send it again.
        counters.givenUp += 1;
        settle('dropped');
      });
      return;
    }
    const { farm, sensor } = identity;
    this.receipts.give(farm, sensor, (received) => {
      const publish = { farm, field: UNASSIGNED, sensor, topic: topic.slice(0, MOST_TOPIC), payload, received };
      void this.refuse(publish, verdict.reason, identity).then(settle);
    });
  }

  private async refuse(publish: Publish, reason: RefusedReason, { role }: Identity): Promise<'refused' | 'offence'> {
    const { counters, onRefused, offenders } = this.parts;
    if (reason === 'too_many_sensors') counters.tooManySensors += 1;
    else counters.notAuthorised += 1;
    await onRefused(publish, reason);
    // A bridge passes on what its devices publish: it is not closed because of one of them.
    const blamed = role === 'sensor' && reason === 'not_authorised';
    return blamed && offenders.isOffence(publish) ? 'offence' : 'refused';
  }
}

/**
 * Keeps the library from routing the publish: to subscribers of commands, to its own `$SYS/` topics (which would
 * disconnect others), or into its memory of retained messages, which has no limit.
 */
function divert(packet: PublishPacket): void {
  packet.topic = INTERNAL_TOPIC;
  packet.payload = NOTHING;
  packet.retain = false;
}
