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
 * One client that was let in, and its publishes that are not acknowledged yet.
 *
 * Acknowledgements leave in the order in which the publishes came [MQTT-4.6.0-2], in whatever order the queue confirms them;
 * after `close` none leaves any more.
 */
export class Session implements Owner {
  readonly identity: Identity;
  readonly framedSocket: FramedSocket;
  readonly state: SessionState;
  private readonly keepaliveMs: number;
  private readonly holdMs: number;
  private readonly turns: PendingAcknowledgement[] = [];
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
    return this.turns.length;
  }

  /** Takes the next turn for a publish. Calling the returned function lets `acknowledge` be called when its turn has come. */
  begin(acknowledge: () => void): () => void {
    const turn: PendingAcknowledgement = { since: performance.now(), acknowledge, done: false };
    this.turns.push(turn);
    return () => {
      turn.done = true;
      this.acknowledgeInOrder();
    };
  }

  /** Whether a publish has been held for longer than the client can be expected to wait; `now` is monotonic ms. */
  heldTooLong(now: number): boolean {
    const oldest = Math.min(this.turns[0]?.since ?? now, this.framedSocket.waitingSince ?? now);
    return now - oldest > this.holdMs;
  }

  /** Whether the client has sent nothing for one and a half times its keepalive [MQTT-3.1.2-24]; `now` is monotonic ms. */
  silentTooLong(now: number): boolean {
    return this.framedSocket.silentMs(now) > this.keepaliveMs * 1.5;
  }

  close(): void {
    this.closed = true;
    this.turns.length = 0;
  }

  private acknowledgeInOrder(): void {
    for (let turn = this.turns[0]; turn?.done; turn = this.turns[0]) {
      this.turns.shift();
      this.framedSocket.settled();
      turn.acknowledge();
    }
  }
}
