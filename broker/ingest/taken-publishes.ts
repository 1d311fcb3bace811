import { clock } from '../../core/clock.ts';
import type { BrokerCounters } from '../counters.ts';
import type { IncomingPublish } from '../mqtt/publish-packet.ts';
import type { Receipts } from './receipts.ts';
import { type PublishConnection, type TakenFate, type TakenOwner, TakenPublish } from './taken-publish.ts';

export interface TakingParts {
  readonly counters: BrokerCounters;
  /** Where publishes have their room. */
  readonly budget: { give(bytes: number): void };
  readonly receipts: Receipts;
  /** Counts the publishes that sessions know by their ids, over all sessions. */
  readonly known: KnownPublishes;
  /** Most QoS 2 publishes without their PUBREL. A client that begins one more is closed. */
  readonly mostQos2: number;
  /** Whether publishes with QoS 0 wait for a queue that is away, too; otherwise they are dropped. */
  readonly holdsQos0: boolean;
  /** Puts a publish on its way to the queue, or to the dead letters; the publish is then told what became of it. */
  readonly offer: (publish: TakenPublish, payload: Buffer) => void;
}

/** How many publishes all sessions together know by their packet ids, some 250 bytes each, and how many they may. */
export interface KnownPublishes {
  count: number;
  readonly most: number;
}

/**
 * Publishes with QoS 1 of earlier connections that a session knows: more than a client's window. Beyond it the oldest is no longer recognised
 * when it is sent again.
 */
const MOST_LEFT = 512;
const ACKNOWLEDGED = { is: 'acknowledged' } as const;
const KEPT = { is: 'kept' } as const;
const DROPPED = { is: 'dropped' } as const;

/**
 * All publishes of one MQTT session. Nobody else decides which of them is acknowledged, and when.
 *
 * - A PUBLISH makes a publish `taken`: it gets a receipt, and is offered to the queue (or, without a right, to the dead letters).
 * - The queue's confirm makes it `kept`. So does a refusal for good, once its dead letter is written.
 * - A `kept` publish becomes `acknowledged` when those that came before it on the connection have been: PUBACK and PUBREC are sent in the order of
 *   the publishes [MQTT-4.6.0-2]. With QoS 1 the exchange is over then; with QoS 2 it is at the PUBREL, which frees the packet id.
 * - A publish that is given up becomes `dropped`. With QoS 0 nobody waits for it. With QoS 1 and 2 its connection has ended, or is about
 *   to be closed, and the client sends it again.
 *
 * When a connection ends, no acknowledgement is sent for what came on it. A session that goes on (clean=0) keeps what is not acknowledged.
 * The client then sends that again, with the same packet id and the DUP flag [MQTT-3.3.1-1]. What has the same bytes as the publish under that id is
 * that publish: it keeps its first receipt, and its acknowledgement goes to the new connection. Only a `dropped` one is offered to the queue again.
 * What has other bytes, or no DUP flag (but for QoS 2 on one connection), is another publish, whatever its id: some clients use one id for all their publishes, and an id
 * that is used too early must not cost a reading. For the same reason a PUBACK ends what is known of a publish [MQTT-4.3.2-2].
 */
export class TakenPublishes implements TakenOwner {
  private readonly parts: TakingParts;
  /** Whether the session outlives its connection (clean=0). */
  private readonly isLasting: boolean;
  /** Of the connection, in the order in which they came: those that are not acknowledged. */
  private pending: TakenPublish[] = [];
  /** By packet id, those with QoS 1 that earlier connections left unacknowledged. */
  private readonly left = new Map<number, TakenPublish>();
  /** By packet id, those with QoS 2 until their PUBREL. */
  private readonly unreleased = new Map<number, TakenPublish>();
  private connection: PublishConnection | undefined;
  private counted = 0;

  constructor(parts: TakingParts, isLasting: boolean) {
    this.parts = parts;
    this.isLasting = isLasting;
  }

  /** A connection begins, and takes the session over from the one before. */
  begin(connection: PublishConnection): void {
    if (this.connection) this.end(this.connection);
    this.connection = connection;
  }

  /** The connection has ended: nothing more is acknowledged on it. */
  end(connection: PublishConnection): void {
    if (connection !== this.connection) return;
    this.connection = undefined;
    for (const publish of this.pending) {
      if (publish.state.is !== 'taken') publish.forgetBytes();
      if (publish.qos === 1 && this.isLasting) this.leave(publish);
    }
    this.pending = [];
    this.count();
  }

  /** The session has ended: nothing of it is known any more. */
  clear(): void {
    this.left.clear();
    this.unreleased.clear();
    this.count();
  }

  /** Since when the oldest publish waits for its acknowledgement, monotonic ms; undefined when none does. */
  get waitingSince(): number | undefined {
    return this.pending[0]?.since;
  }

  /** Whether the session is that of this connection, and can acknowledge on it. */
  isCurrent(connection: PublishConnection): boolean {
    return connection === this.connection;
  }

  /** Whether its connection is there, and somebody waits for its acknowledgement. */
  isWaitedFor({ qos, connection }: TakenPublish): boolean {
    return connection === this.connection && (qos !== 0 || this.parts.holdsQos0);
  }

  /**
   * Takes a PUBLISH. `room` are the bytes it holds of the memory budget; they are given back when it is done. What comes on a connection
   * that is not the session's any more is not taken: it gets no acknowledgement.
   */
  take(connection: PublishConnection, incoming: IncomingPublish, room: number): void {
    const { budget, counters, receipts, offer } = this.parts;
    if (connection !== this.connection) {
      budget.give(room);
      return;
    }
    counters.received += 1;
    const before = this.sentBefore(incoming, connection);
    if (before && before.state.is !== 'dropped') {
      budget.give(room);
      this.takeAgain(before, connection);
      return;
    }
    if (incoming.qos === 2 && !this.mayBegin(connection, incoming.messageId)) {
      budget.give(room);
      return;
    }
    const publish = new TakenPublish(this, connection, incoming, before?.received ?? receipts.next(), room);
    if (publish.qos === 2) {
      this.unreleased.set(publish.messageId, publish);
      this.count();
    }
    this.pending.push(publish);
    offer(publish, incoming.payload);
  }

  /** A PUBREL: the packet id is free. It is answered also when the id is unknown [MQTT-4.3.3-2]. */
  release(connection: PublishConnection, messageId: number): void {
    if (connection !== this.connection) return;
    this.unreleased.delete(messageId);
    this.count();
    connection.complete(messageId);
  }

  /** Called by a publish when it has met its fate. */
  settled(publish: TakenPublish, fate: TakenFate): void {
    const { state, connection } = publish;
    if (state.is !== 'taken') return;
    this.parts.budget.give(publish.room);
    publish.state = fate === 'kept' ? KEPT : DROPPED;
    if (connection !== this.connection) publish.forgetBytes();
    else if (fate === 'offence') this.closeOffender(connection);
    else this.acknowledgeInOrder(connection);
  }

  /** The publish that `incoming` is sent again for; undefined when none is known. It is asked for every publish, so most are not looked for. */
  private sentBefore(incoming: IncomingPublish, connection: PublishConnection): TakenPublish | undefined {
    const { qos, dup, messageId } = incoming;
    const isIt = (publish: TakenPublish | undefined) =>
      publish?.messageId === messageId && publish.hasBytesOf(incoming);
    if (qos === 2) {
      const holder = this.unreleased.get(messageId);
      // Before its PUBREL an id cannot be in use again on one connection, with or without the DUP flag [MQTT-4.3.3-2].
      return (dup || holder?.connection === connection) && isIt(holder) ? holder : undefined;
    }
    if (qos === 0 || !dup) return undefined;
    const holder = this.left.get(messageId);
    return isIt(holder) ? holder : this.pending.find(isIt);
  }

  private leave(publish: TakenPublish): void {
    const { left } = this;
    // The map keeps the order of insertion: without this an id that is used again would keep its old place.
    left.delete(publish.messageId);
    if (this.parts.known.count >= this.parts.known.most) return;
    left.set(publish.messageId, publish);
    const [oldest] = left.keys();
    if (left.size > MOST_LEFT && oldest !== undefined) left.delete(oldest);
  }

  /** Whether there is room for one more publish with QoS 2; otherwise the connection is closed. */
  private mayBegin(connection: PublishConnection, messageId: number): boolean {
    const { counters, mostQos2, known } = this.parts;
    if (this.unreleased.has(messageId)) return true;
    if (this.unreleased.size < mostQos2 && known.count < known.most) return true;
    counters.malformed += 1;
    connection.destroy(new Error('too many publishes without their PUBREL'));
    return false;
  }

  private closeOffender(connection: PublishConnection): void {
    this.parts.counters.closedOffenders += 1;
    this.end(connection);
    connection.destroy(new Error('too many publishes without a right'));
  }

  private takeAgain(publish: TakenPublish, connection: PublishConnection): void {
    this.parts.counters.sentAgain += 1;
    publish.connection = connection;
    publish.since = clock.passed();
    if (publish.qos === 1) this.left.delete(publish.messageId);
    this.count();
    this.pending.push(publish);
    this.acknowledgeInOrder(connection);
  }

  private acknowledgeInOrder(connection: PublishConnection): void {
    for (let next = this.pending[0]; next?.mayBeAcknowledged; next = this.pending[0]) {
      this.pending.shift();
      connection.settled();
      if (next.qos === 0) continue;
      connection.acknowledge(next.qos, next.messageId);
      next.state = ACKNOWLEDGED;
      if (next.qos === 2) next.forgetBytes();
    }
  }

  private count(): void {
    const now = this.left.size + this.unreleased.size;
    this.parts.known.count += now - this.counted;
    this.counted = now;
  }
}
