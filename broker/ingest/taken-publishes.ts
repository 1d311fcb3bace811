import type { BrokerCounters } from '../counters.ts';
import type { IncomingPublish } from '../mqtt/publish-packet.ts';
import type { MemoryBudget } from './memory-budget.ts';
import type { Receipts } from './receipts.ts';
import { type PublishConnection, type TakenFate, type TakenOwner, TakenPublish } from './taken-publish.ts';

export interface TakingParts {
  readonly counters: BrokerCounters;
  /** Where publishes have their room. */
  readonly budget: Pick<MemoryBudget, 'give'>;
  readonly receipts: Receipts;
  /** Most QoS 2 publishes without their PUBREL. A client that begins one more is closed. */
  readonly mostQos2: number;
  /** Whether publishes with QoS 0 wait for a queue that is away, too; otherwise they are dropped. */
  readonly holdsQos0: boolean;
  /** Puts a publish on its way to the queue, or to the dead letters; the publish is then told what became of it. */
  readonly offer: (publish: TakenPublish, payload: Buffer) => void;
}

/** Acknowledged publishes with QoS 1 that a session (clean=0) remembers, to recognise them when they are sent again. */
const MOST_REMEMBERED = 32;
/**
 * Publishes with QoS 1 that a session knows by their ids: more than a client's window and what is remembered. Beyond it the oldest is no longer
 * recognised when it is sent again; it is acknowledged all the same.
 */
const MOST_HELD = 512;
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
 * When a connection ends, no acknowledgement is sent for what came on it. A session that goes on (clean=0) keeps its publishes.
 * The client then sends some of them again, with the same packet id. What has the same bytes as a publish under that id is that publish, with
 * its first receipt, and its acknowledgement goes to the new connection; only a `dropped` one is offered to the queue again. What has other bytes
 * is another publish: an id that is used too early must not cost a reading.
 *
 * With QoS 1 the DUP flag is asked for as well where the id may be in use again rightly: on the same connection, and when PUBACK was sent. A
 * PUBACK may be lost with its connection, so the last 32 acknowledged publishes of a session that goes on are remembered.
 */
export class TakenPublishes implements TakenOwner {
  private readonly parts: TakingParts;
  /** Whether the session outlives its connection (clean=0). */
  private readonly isLasting: boolean;
  /** By packet id: publishes with QoS 2 until their PUBREL, and those with QoS 1 of a session that goes on. */
  private readonly byId = { 1: new Map<number, TakenPublish>(), 2: new Map<number, TakenPublish>() };
  /** Of the connection, in the order in which they came: those that are not acknowledged. */
  private pending: TakenPublish[] = [];
  private remembered: TakenPublish[] = [];
  private connection: PublishConnection | undefined;

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
    for (const publish of this.pending) if (publish.state.is !== 'taken') publish.forgetBytes();
    this.pending = [];
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
    const holder = this.holderOf(incoming);
    const before = holder && this.isSame(holder, incoming, connection) ? holder : undefined;
    if (before && before.state.is !== 'dropped') {
      budget.give(room);
      this.takeAgain(before, connection);
      return;
    }
    if (incoming.qos === 2 && !holder && !this.mayBegin(connection)) {
      budget.give(room);
      return;
    }
    const publish = new TakenPublish(this, connection, incoming, before?.received ?? receipts.next(), room);
    this.hold(publish);
    this.pending.push(publish);
    offer(publish, incoming.payload);
  }

  /** A PUBREL: the packet id is free. It is answered also when the id is unknown [MQTT-4.3.3-2]. */
  release(connection: PublishConnection, messageId: number): void {
    if (connection !== this.connection) return;
    this.byId[2].delete(messageId);
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

  /** The publish under the packet id of `incoming` that it may be a copy of. This is asked of every publish, so most are not looked for. */
  private holderOf({ qos, dup, messageId }: IncomingPublish): TakenPublish | undefined {
    if (qos === 2 || (qos === 1 && this.isLasting)) return this.byId[qos].get(messageId);
    if (qos === 0 || !dup) return undefined;
    return this.pending.find((publish) => publish.qos === 1 && publish.messageId === messageId);
  }

  /** Whether there is room for one more publish with QoS 2; otherwise the connection is closed. */
  private mayBegin(connection: PublishConnection): boolean {
    const { counters, mostQos2 } = this.parts;
    if (this.byId[2].size < mostQos2) return true;
    counters.malformed += 1;
    connection.destroy(new Error('too many publishes without their PUBREL'));
    return false;
  }

  private hold(publish: TakenPublish): void {
    const { qos, messageId } = publish;
    if (qos === 2) this.byId[2].set(messageId, publish);
    if (qos !== 1 || !this.isLasting) return;
    const held = this.byId[1].set(messageId, publish);
    if (held.size <= MOST_HELD) return;
    const [oldest] = held.keys();
    if (oldest !== undefined) held.delete(oldest);
  }

  private closeOffender(connection: PublishConnection): void {
    this.parts.counters.closedOffenders += 1;
    this.end(connection);
    connection.destroy(new Error('too many publishes without a right'));
  }

  private isSame(holder: TakenPublish, incoming: IncomingPublish, connection: PublishConnection): boolean {
    if (!holder.hasBytesOf(incoming)) return false;
    if (holder.qos === 2) return true;
    // On one connection only the DUP flag tells a publish that is sent again from another one under an id that is used too early.
    if (holder.connection === connection) return incoming.dup && holder.state.is !== 'acknowledged';
    return incoming.dup || holder.state.is !== 'acknowledged';
  }

  private takeAgain(publish: TakenPublish, connection: PublishConnection): void {
    this.parts.counters.sentAgain += 1;
    publish.connection = connection;
    publish.since = performance.now();
    this.pending.push(publish);
    this.acknowledgeInOrder(connection);
  }

  private acknowledgeInOrder(connection: PublishConnection): void {
    for (let next = this.pending[0]; next?.mayBeAcknowledged; next = this.pending[0]) {
      this.pending.shift();
      connection.settled();
      if (next.qos !== 0) this.acknowledge(next, next.qos, connection);
    }
  }

  private acknowledge(publish: TakenPublish, qos: 1 | 2, connection: PublishConnection): void {
    connection.acknowledge(qos, publish.messageId);
    const isFirst = publish.state.is === 'kept';
    publish.state = ACKNOWLEDGED;
    if (qos === 2) publish.forgetBytes();
    else if (this.isLasting && isFirst) this.remember(publish);
  }

  private remember(publish: TakenPublish): void {
    publish.forgetBytes();
    this.remembered.push(publish);
    const oldest = this.remembered.length > MOST_REMEMBERED ? this.remembered.shift() : undefined;
    if (oldest) this.forget(oldest);
  }

  private forget(publish: TakenPublish): void {
    if (this.byId[1].get(publish.messageId) === publish) this.byId[1].delete(publish.messageId);
  }
}
