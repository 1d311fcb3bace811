import type { Identity } from '../auth/identity.ts';
import type { TakenPublishes } from '../ingest/taken-publishes.ts';

/**
 * How a command sent to a client ended. `acknowledged`: its PUBACK came. `lost`: the session ended without it, or was
 * resumed after the command was withdrawn. `unconfirmed`: the client subscribed with QoS 0, which has no PUBACK.
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
  /** Delivered in another way, or expired: not sent again. Its id stays in use until its PUBACK or the next connection. */
  withdrawn: boolean;
}

const MOST_MESSAGE_ID = 65_535;

/**
 * The state of a session as MQTT defines it (3.1.2.4): its subscriptions, its commands without their PUBACK, and its
 * publishes (`taken`). With clean=0 the session outlives its connection.
 */
export class SessionState {
  readonly id: string;
  readonly identity: Identity;
  readonly clean: boolean;
  /** Topic filter to granted quality of service. */
  readonly subscriptions = new Map<string, number>();
  readonly outgoing = new Map<number, OutgoingCommand>();
  readonly taken: TakenPublishes;
  /** When its latest connection was let in, Unix ms. */
  since = 0;
  /** Sensors that this session published for, when it is a bridge's. */
  readonly brought = new Set<string>();
  /** Grows with every connection: of two sessions, the one with the higher number was connected later. */
  connection = 0;
  /** When its last connection ended, monotonic ms. */
  asleepSince = 0;
  /** Whether the client that is connected now resumed this session; false when the session began with it. */
  resumed = false;
  private nextId = 1;

  /** `takenBy` makes what takes the session's publishes. */
  constructor(id: string, identity: Identity, clean: boolean, takenBy: (state: SessionState) => TakenPublishes) {
    this.id = id;
    this.identity = identity;
    this.clean = clean;
    this.taken = takenBy(this);
  }

  /** The command of this key, while it has no PUBACK. */
  underWay(key: string): OutgoingCommand | undefined {
    for (const outgoing of this.outgoing.values()) if (outgoing.key === key && !outgoing.withdrawn) return outgoing;
    return undefined;
  }

  /** Marks the command of this key: it is not sent again. */
  withdraw(key: string): void {
    const outgoing = this.underWay(key);
    if (outgoing) outgoing.withdrawn = true;
  }

  /** Called when a client resumes the session. Commands that were withdrawn meanwhile end here and are not sent again. */
  resume(): void {
    this.resumed = true;
    for (const { messageId, withdrawn } of [...this.outgoing.values()]) if (withdrawn) this.finish(messageId, 'lost');
  }

  /** Records a command that is about to be sent, and gives it a message id. */
  begin(key: string, topic: string, payload: Buffer): OutgoingCommand {
    let settle: (sent: Sent) => void = () => {};
    const sent = new Promise<Sent>((resolve) => {
      settle = resolve;
    });
    const outgoing: OutgoingCommand = { key, messageId: this.freeId(), topic, payload, sent, settle, withdrawn: false };
    this.outgoing.set(outgoing.messageId, outgoing);
    return outgoing;
  }

  /** Removes a command from the session and resolves its promise with `sent`. */
  finish(messageId: number, sent: Sent): void {
    const outgoing = this.outgoing.get(messageId);
    this.outgoing.delete(messageId);
    outgoing?.settle(sent);
  }

  /** Ends the session. Commands without their PUBACK are `lost`. */
  end(): void {
    for (const messageId of [...this.outgoing.keys()]) this.finish(messageId, 'lost');
    this.subscriptions.clear();
    this.taken.clear();
  }

  private freeId(): number {
    while (this.outgoing.has(this.nextId)) this.nextId = (this.nextId % MOST_MESSAGE_ID) + 1;
    const id = this.nextId;
    this.nextId = (this.nextId % MOST_MESSAGE_ID) + 1;
    return id;
  }
}
