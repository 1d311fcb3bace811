import type { Identity } from '../auth/identity.ts';
import type { PublishTaker } from '../ingest/taken-publish.ts';
import type { FramedSocket } from '../mqtt/framed-socket.ts';
import type { IncomingPublish } from '../mqtt/publish-packet.ts';
import type { SessionState } from './session-state.ts';

/** A client that was let in: its connection, and the state of its MQTT session, which may outlive the connection. */
export class Session implements PublishTaker {
  readonly identity: Identity;
  readonly framedSocket: FramedSocket;
  readonly state: SessionState;
  private readonly keepaliveMs: number;
  private readonly holdMs: number;

  constructor(state: SessionState, framedSocket: FramedSocket, keepaliveMs: number, holdMs: number) {
    this.identity = state.identity;
    this.state = state;
    this.framedSocket = framedSocket;
    this.keepaliveMs = keepaliveMs;
    this.holdMs = Math.min(keepaliveMs / 2, holdMs);
    state.taken.begin(framedSocket);
  }

  /** Whether the client still waits for acknowledgements. */
  get waits(): boolean {
    return this.state.taken.isCurrent(this.framedSocket);
  }

  take(publish: IncomingPublish, room: number): void {
    this.state.taken.take(this.framedSocket, publish, room);
  }

  release(messageId: number): void {
    this.state.taken.release(this.framedSocket, messageId);
  }

  /** Whether a publish was held longer than `holdMs`, or half the keepalive if that is shorter; `now` is monotonic ms. */
  heldTooLong(now: number): boolean {
    const oldest = Math.min(this.state.taken.waitingSince ?? now, this.framedSocket.waitingSince ?? now);
    return now - oldest > this.holdMs;
  }

  /** Whether the client has sent nothing for one and a half times its keepalive [MQTT-3.1.2-24]; `now` is monotonic ms. */
  silentTooLong(now: number): boolean {
    return this.framedSocket.silentMs(now) > this.keepaliveMs * 1.5;
  }

  /** No acknowledgement is sent any more. */
  close(): void {
    this.state.taken.end(this.framedSocket);
  }
}
