import type { Identity } from '../auth/identity.ts';
import type { Owner } from '../ingest/publish-batcher.ts';
import type { FramedSocket } from '../mqtt/framed-socket.ts';
import type { SessionState } from './session-state.ts';

interface PendingAcknowledgement {
  readonly since: number;
  readonly acknowledge: () => void;
  done: boolean;
}

/**
 * A client that was let in, with its publishes that are not acknowledged yet.
 *
 * Acknowledgements are sent in the order in which the publishes came [MQTT-4.6.0-2], whatever the order of the queue's
 * confirms. After `close` none is sent.
 */
export class Session implements Owner {
  readonly identity: Identity;
  readonly framedSocket: FramedSocket;
  readonly state: SessionState;
  private readonly keepaliveMs: number;
  private readonly holdMs: number;
  private readonly pending: PendingAcknowledgement[] = [];
  private closed = false;

  constructor(state: SessionState, framedSocket: FramedSocket, keepaliveMs: number, holdMs: number) {
    this.identity = state.identity;
    this.state = state;
    this.framedSocket = framedSocket;
    this.keepaliveMs = keepaliveMs;
    this.holdMs = Math.min(keepaliveMs / 2, holdMs);
  }

  /** Whether the client still waits for acknowledgements. */
  get waits(): boolean {
    return !this.closed;
  }

  get unacknowledged(): number {
    return this.pending.length;
  }

  /** Adds a publish to the order. `acknowledge` is called when the returned function was, for it and for all before it. */
  begin(acknowledge: () => void): () => void {
    const turn: PendingAcknowledgement = { since: performance.now(), acknowledge, done: false };
    this.pending.push(turn);
    return () => {
      turn.done = true;
      this.acknowledgeInOrder();
    };
  }

  /** Whether a publish was held longer than `holdMs`, or half the keepalive if that is shorter; `now` is monotonic ms. */
  heldTooLong(now: number): boolean {
    const oldest = Math.min(this.pending[0]?.since ?? now, this.framedSocket.waitingSince ?? now);
    return now - oldest > this.holdMs;
  }

  /** Whether the client has sent nothing for one and a half times its keepalive [MQTT-3.1.2-24]; `now` is monotonic ms. */
  silentTooLong(now: number): boolean {
    return this.framedSocket.silentMs(now) > this.keepaliveMs * 1.5;
  }

  close(): void {
    this.closed = true;
    this.pending.length = 0;
  }

  private acknowledgeInOrder(): void {
    for (let turn = this.pending[0]; turn?.done; turn = this.pending[0]) {
      this.pending.shift();
      this.framedSocket.settled();
      turn.acknowledge();
    }
  }
}
