import { createHash } from 'node:crypto';
import { clock } from '../../core/clock.ts';
import type { IncomingPublish } from '../mqtt/publish-packet.ts';
import type { Publisher } from './publish-batcher.ts';

/** Where a publish stands. `TakenPublishes` says what leads from one state to the next. */
export type PublishState =
  /** It is on its way to the queue, or to the dead letters, and holds its room in the memory budget. */
  | { readonly is: 'taken' }
  /** It is durable, and may be acknowledged when those before it have been. */
  | { readonly is: 'kept' }
  /** Its PUBACK or PUBREC was written. */
  | { readonly is: 'acknowledged' }
  /** It was given up. It is never acknowledged. */
  | { readonly is: 'dropped' };

const TAKEN: PublishState = { is: 'taken' };

/** The connection that a publish came on, as far as acknowledgements need it. `FramedSocket` is one. */
export interface PublishConnection {
  /** The address that it comes from; '' when that is not known. */
  readonly from: string;
  /** Sends PUBACK (QoS 1) or PUBREC (QoS 2). */
  acknowledge(qos: 1 | 2, messageId: number): void;
  /** Sends PUBCOMP. */
  complete(messageId: number): void;
  /** The client's window has room for one more publish. */
  settled(): void;
  /** Closes the connection. */
  destroy(error: Error): unknown;
}

/** Who takes the publishes of one client. */
export interface PublishTaker {
  /** Takes one publish. When it is done, it gives `room` (bytes) back to the budget and calls `settled`. */
  take(publish: IncomingPublish, room: number): void;
  /** The client's PUBREL: the exchange of a QoS 2 publish is over. */
  release(messageId: number): void;
}

/** What became of a publish. `kept` also stands for one that was refused for good; `offence`: refused, and once too often. */
export type TakenFate = 'kept' | 'dropped' | 'offence';

/** What a `TakenPublish` tells: that it has come to its end, and whether anybody waits for it. */
export interface TakenOwner {
  isWaitedFor(publish: TakenPublish): boolean;
  settled(publish: TakenPublish, fate: TakenFate): void;
}

/** One publish of a client, from its PUBLISH to the end of its exchange. */
export class TakenPublish implements Publisher {
  readonly qos: 0 | 1 | 2;
  /** 0 with QoS 0. */
  readonly messageId: number;
  /** Empty once its bytes are forgotten. */
  topic: string;
  /** Its receipt, an instant. */
  readonly received: number;
  readonly isRetained: boolean;
  /** How many bytes its payload had, when it was over the limit and only its beginning is here. */
  readonly sent: number | undefined;
  /** Bytes that it holds of the memory budget while it is `taken`. */
  readonly room: number;
  state: PublishState = TAKEN;
  /** When it came, or came again, monotonic ms. */
  since: number;
  /** The connection on which it came last. */
  connection: PublishConnection;
  private readonly owner: TakenOwner;
  /** Forgotten when the publish is acknowledged; its digest stays. */
  private bytes: Buffer | undefined;
  private digest = '';

  constructor(
    owner: TakenOwner,
    connection: PublishConnection,
    { qos, messageId, topic, payload, sent, retain = false }: IncomingPublish,
    received: number,
    room: number,
  ) {
    this.owner = owner;
    this.connection = connection;
    this.qos = qos;
    this.messageId = messageId;
    this.topic = topic;
    this.received = received;
    this.bytes = payload;
    this.isRetained = retain;
    this.sent = sent;
    this.room = room;
    this.since = clock.passed();
  }

  get atMostOnce(): boolean {
    return this.qos === 0;
  }

  /** The address that it came from last. */
  get from(): string {
    return this.connection.from;
  }

  get waits(): boolean {
    return this.owner.isWaitedFor(this);
  }

  settle(fate: TakenFate): void {
    this.owner.settled(this, fate);
  }

  /** Whether nothing before an acknowledgement is missing any more. QoS 0 has none, so a dropped one is over, too. */
  get mayBeAcknowledged(): boolean {
    const { is } = this.state;
    return is === 'kept' || is === 'acknowledged' || (is === 'dropped' && this.qos === 0);
  }

  hasBytesOf({ qos, topic, payload }: IncomingPublish): boolean {
    if (this.qos !== qos) return false;
    if (!this.bytes) return this.digest === digestOf(topic, payload);
    return this.topic === topic && this.bytes.equals(payload);
  }

  /** Keeps only what is needed to recognise it when it is sent again: a topic is long, and the payload is a part of a larger piece of memory. */
  forgetBytes(): void {
    if (!this.bytes) return;
    this.digest = digestOf(this.topic, this.bytes);
    this.bytes = undefined;
    this.topic = '';
  }
}

/** 96 bits of SHA-256: nobody finds two publishes that have the same. */
function digestOf(topic: string, payload: Buffer): string {
  return createHash('sha256').update(topic).update('\0').update(payload).digest('base64').slice(0, 16);
}
