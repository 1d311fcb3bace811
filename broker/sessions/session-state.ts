import type { Identity } from '../auth/identity.ts';

/**
 * How a command sent to a client ended: its PUBACK came, or the session is gone without it;
 * `unconfirmed` when the client subscribed with QoS 0, which has no PUBACK.
 */
export type Sent = 'acknowledged' | 'lost' | 'unconfirmed';

/** One command on its way to a client, from the first sending to its PUBACK. */
export interface OutgoingCommand {
  readonly key: string;
  readonly messageId: number;
  readonly topic: string;
  readonly payload: Buffer;
  readonly sent: Promise<Sent>;
  readonly settle: (sent: Sent) => void;
  /** It was delivered otherwise, or has expired: it is not sent again. Its id stays taken until its PUBACK or the end of the connection. */
  withdrawn: boolean;
}

/**
 * One QoS 2 publish from its PUBLISH to its PUBREL. Its id may be used again while the queue's confirm is still to come: after a reconnect,
 * for the same publish sent again. So what happened to it is noted here, and only as long as the id is still its own.
 */
export interface Qos2Publish {
  isTaken: boolean;
}

const MOST_MESSAGE_ID = 65_535;

/**
 * What MQTT calls the state of a session (3.1.2.4): its subscriptions, the commands without their PUBACK, and the ids of QoS 2 publishes
 * that are not released. With clean=0 it outlives its connection.
 */
export class SessionState {
  readonly id: string;
  readonly identity: Identity;
  readonly clean: boolean;
  /** Topic filter to granted quality of service. */
  readonly subscriptions = new Map<string, number>();
  readonly outgoing = new Map<number, OutgoingCommand>();
  private readonly incoming = new Map<number, Qos2Publish>();
  /** When its connection was let in, Unix ms. */
  since = 0;
  /** Sensors that it published for, as a bridge. */
  readonly brought = new Set<string>();
  /** Grows with every connection: of two sessions, the one with the higher number was connected later. */
  connection = 0;
  /** When its last connection ended, monotonic ms. */
  asleepSince = 0;
  /** Whether the client that has it now found it here. */
  resumed = false;
  private nextId = 1;

  constructor(id: string, identity: Identity, clean: boolean) {
    this.id = id;
    this.identity = identity;
    this.clean = clean;
  }

  /** How many QoS 2 publishes were begun and not released. */
  get unreleased(): number {
    return this.incoming.size;
  }

  /** Whether a QoS 2 publish of this id was begun and not released. */
  hasBegun(messageId: number): boolean {
    return this.incoming.has(messageId);
  }

  /** Whether the queue has the QoS 2 publish of this id, and its PUBREL has not come. */
  hasTaken(messageId: number): boolean {
    return this.incoming.get(messageId)?.isTaken ?? false;
  }

  /** A QoS 2 publish comes. From now on the id is its own. */
  receive(messageId: number): Qos2Publish {
    const publish = { isTaken: false };
    this.incoming.set(messageId, publish);
    return publish;
  }

  /** The queue has a QoS 2 publish, or never will. Of one whose id is another's by now that is nobody's business. */
  settle(messageId: number, publish: Qos2Publish, isTaken: boolean): void {
    if (this.incoming.get(messageId) !== publish) return;
    if (isTaken) publish.isTaken = true;
    else this.incoming.delete(messageId);
  }

  /** Its PUBREL has come: the id is free. */
  release(messageId: number): void {
    this.incoming.delete(messageId);
  }

  /** The command of this key, while it has no PUBACK. */
  underWay(key: string): OutgoingCommand | undefined {
    for (const outgoing of this.outgoing.values()) if (outgoing.key === key && !outgoing.withdrawn) return outgoing;
    return undefined;
  }

  /** The command of this key is not wanted any more. */
  withdraw(key: string): void {
    const outgoing = this.underWay(key);
    if (outgoing) outgoing.withdrawn = true;
  }

  /** A client comes back to the session: what was withdrawn while it was away is not sent again. */
  resume(): void {
    this.resumed = true;
    for (const { messageId, withdrawn } of [...this.outgoing.values()]) if (withdrawn) this.finish(messageId, 'lost');
  }

  /** Takes a message id for a command. */
  begin(key: string, topic: string, payload: Buffer): OutgoingCommand {
    let settle: (sent: Sent) => void = () => {};
    const sent = new Promise<Sent>((resolve) => {
      settle = resolve;
    });
    const outgoing: OutgoingCommand = { key, messageId: this.freeId(), topic, payload, sent, settle, withdrawn: false };
    this.outgoing.set(outgoing.messageId, outgoing);
    return outgoing;
  }

  /** The command is off the session's hands. */
  finish(messageId: number, sent: Sent): void {
    const outgoing = this.outgoing.get(messageId);
    this.outgoing.delete(messageId);
    outgoing?.settle(sent);
  }

  /** The session ends: what was not acknowledged is lost to it. */
  end(): void {
    for (const messageId of [...this.outgoing.keys()]) this.finish(messageId, 'lost');
    this.subscriptions.clear();
    this.incoming.clear();
  }

  private freeId(): number {
    while (this.outgoing.has(this.nextId)) this.nextId = (this.nextId % MOST_MESSAGE_ID) + 1;
    const id = this.nextId;
    this.nextId = (this.nextId % MOST_MESSAGE_ID) + 1;
    return id;
  }
}
