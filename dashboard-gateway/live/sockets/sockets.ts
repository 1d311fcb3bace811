import { TokenBucket, type TokenRate } from '../../../core/token-bucket.ts';
import { type Registry, roleOn } from '../../../telemetry/registry/registry.ts';
import type { User } from '../../../telemetry/registry/things.ts';
import type { Access } from '../../http/origin.ts';
import { PerAddress } from '../../http/per-address.ts';
import { readHead } from '../../http/request.ts';
import type { TemplatedApp, UwsModule, WebSocket } from '../../http/uws.ts';
import type { Caller, SignInSessions } from '../../sign-in/sessions.ts';
import type { LiveCounters } from '../counters.ts';
import type { LiveHub } from '../hub.ts';
import {
  CLOSE,
  frames,
  type LiveErrorCode,
  MAX_MESSAGE_BYTES,
  MAX_SUBSCRIPTIONS,
  parseMessage,
  type Subscribe,
} from './protocol.ts';
import { answerHandshake, readHandshake } from './upgrade.ts';
import { type Subscription, Viewer } from './viewer.ts';

const MAX_SOCKETS = 20_000;
/** Behind one address may be a whole office, or all customers of a mobile network. */
const MAX_SOCKETS_OF_ADDRESS = 1_000;
/** A socket for which more than SUSPICIOUS_BYTES wait at two checks in a row is slow; with more than SLOW_BYTES it is slow at once. */
const SUSPICIOUS_BYTES = 64 * 1024;
const SLOW_BYTES = 256 * 1024;
/**
 * Not reached by a socket that was found to be slow. Above it frames would be lost without notice, so the socket is
 * closed instead.
 */
const MOST_BACKPRESSURE = 16 * 1024 * 1024;
/** Most bytes that may wait for all sockets together. Above it, slow sockets that have taken nothing for DEAD_AFTER_MS are closed. */
const MOST_WAITING_BYTES = 256 * 1024 * 1024;
const DEAD_AFTER_MS = 10_000;
/** A socket that neither sends nor takes anything for this long, pings included, is closed. */
const IDLE_SECONDS = 60;
/** This many calls of `checkSpeed` check all sockets once. */
const TURN_PARTS = 4;
const MESSAGES: TokenRate = { perSecond: 20, burst: 200 };

interface SocketClient {
  readonly caller: Caller;
  readonly address: string;
  readonly rate: TokenBucket;
  viewer: Viewer | undefined;
}
type GatewaySocket = WebSocket<SocketClient>;
type SocketRefusal = Exclude<LiveErrorCode, 'store-unavailable'>;

export interface SocketsOptions {
  readonly uws: UwsModule;
  readonly hub: LiveHub;
  readonly sessions: SignInSessions;
  readonly registry: { current(): Registry };
  readonly access: Access;
  readonly counters: LiveCounters;
  readonly maxSocketsOfAddress?: number | undefined;
  /** What durations are measured by, ms. */
  readonly passed: () => number;
}

/** The WebSockets of the gateway: accepts handshakes, takes messages of viewers, and finds sockets that read too slowly. */
export class LiveSockets {
  private readonly options: SocketsOptions;
  private readonly open = new Map<GatewaySocket, SocketClient>();
  /** Sockets still to be checked in the running turn. */
  private turn: [GatewaySocket, SocketClient][] = [];
  private readonly addresses: PerAddress;
  /** Bytes that waited in the last turn, and those counted in the running one. */
  private waitingBytes = 0;
  private counted = 0;
  private stopping = false;

  constructor(options: SocketsOptions) {
    this.options = options;
    this.addresses = new PerAddress(options.maxSocketsOfAddress ?? MAX_SOCKETS_OF_ADDRESS);
  }

  /** How many sockets there are, how many of them are slow, and how many bytes wait for them. */
  get gauges(): { readonly open: number; readonly slow: number; readonly waitingBytes: number } {
    let slow = 0;
    for (const { viewer } of this.open.values()) if (viewer?.slow) slow++;
    return { open: this.open.size, slow, waitingBytes: this.waitingBytes };
  }

  /** Answers WebSocket handshakes at `/ws` of `app`. */
  attach(app: TemplatedApp): void {
    app.ws<SocketClient>('/ws', {
      compression: this.options.uws.DISABLED,
      maxPayloadLength: MAX_MESSAGE_BYTES,
      maxBackpressure: MOST_BACKPRESSURE,
      closeOnBackpressureLimit: 1,
      idleTimeout: IDLE_SECONDS,
      sendPingsAutomatically: true,
      upgrade: (res, req, context) => {
        const head = readHead(res, req, this.options.access);
        const handshake = readHandshake(req, head, context);
        const { sessions, counters } = this.options;
        const { addresses } = this;
        const { publicUrl } = this.options.access;
        const hasRoom = () => !this.stopping && this.open.size < MAX_SOCKETS;
        const door = { sessions, addresses, counters, publicUrl, hasRoom };
        void answerHandshake(res, handshake, door, (caller) => this.clientOf(caller, head.remoteAddress));
      },
      open: (ws) => {
        const client = ws.getUserData();
        client.viewer = new Viewer(wireOf(ws));
        this.open.set(ws, client);
      },
      message: (ws, bytes, isBinary) => this.take(ws, isBinary ? undefined : Buffer.from(bytes).toString('utf8')),
      // Pongs to our own pings are few; both kinds cost as much as any message.
      ping: (ws) => void this.isInRate(ws),
      pong: (ws) => void this.isInRate(ws),
      close: (ws) => {
        this.open.delete(ws);
        const { viewer, address } = ws.getUserData();
        for (const subscription of viewer?.subscriptions.values() ?? []) this.options.hub.unsubscribe(subscription);
        viewer?.subscriptions.clear();
        this.addresses.leave(address);
      },
    });
  }

  /**
   * Finds sockets that read too slowly, and adds up the bytes that wait for all. To be called a few times a second.
   * Each call checks a part of the sockets, since asking thousands costs as much as sending to them.
   */
  checkSpeed(): void {
    if (this.turn.length === 0) this.beginTurn();
    const now = this.options.passed();
    for (const [ws, { viewer }] of this.turn.splice(-Math.ceil(this.open.size / TURN_PARTS))) {
      if (!viewer || viewer.subscriptions.size === 0 || !this.open.has(ws)) continue;
      const waiting = ws.getBufferedAmount();
      this.counted += waiting;
      if (viewer.slow) viewer.slow.observe(waiting, now);
      else if (isSlow(viewer, waiting)) this.options.hub.slowDown(viewer);
    }
  }

  private beginTurn(): void {
    this.turn = [...this.open];
    this.waitingBytes = this.counted;
    this.counted = 0;
    if (this.waitingBytes > MOST_WAITING_BYTES) this.closeDead(this.options.passed());
  }

  /** Closes sockets whose session has ended, and ends subscriptions to farms that are no longer the user's. */
  checkRights(): void {
    for (const [ws, { caller, viewer }] of [...this.open]) {
      const user = this.options.sessions.stillGood(caller);
      if (!user) {
        this.options.counters.ended.session++;
        ws.end(CLOSE.sessionEnded, 'the session has ended');
        continue;
      }
      for (const { id, farm } of [...(viewer?.subscriptions.values() ?? [])]) {
        if (this.maySee(user, farm)) continue;
        this.options.counters.ended.rights++;
        this.unsubscribe(viewer, id);
        viewer?.wire.send(frames.error(id, 'forbidden', 'this farm is not for this user any more'));
      }
    }
  }

  /** Closes every socket and accepts no new ones. */
  close(): void {
    this.stopping = true;
    for (const ws of [...this.open.keys()]) ws.end(CLOSE.goingAway, 'the gateway stops');
  }

  private clientOf(caller: Caller, address: string): SocketClient {
    const rate = new TokenBucket(MESSAGES, this.options.passed());
    return { caller, address, rate, viewer: undefined };
  }

  /** Too much waits in memory: closes slow sockets that have taken nothing for a while, since their clients will hardly read again. */
  private closeDead(now: number): void {
    for (const [ws, { viewer }] of [...this.open]) {
      if (!viewer?.slow || now - viewer.slow.lastMoved < DEAD_AFTER_MS) continue;
      this.options.counters.slow['closed-dead']++;
      ws.close();
    }
  }

  /** Counts a message, a ping or a pong. False, and the socket is closed, when it sends too many. */
  private isInRate(ws: GatewaySocket): boolean {
    if (ws.getUserData().rate.tryTake(this.options.passed())) return true;
    this.options.counters.refused['too-many-messages']++;
    ws.end(CLOSE.policy, 'too many messages');
    return false;
  }

  private take(ws: GatewaySocket, text: string | undefined): void {
    const { viewer } = ws.getUserData();
    if (!viewer || !this.isInRate(ws)) return;
    const parsed = text === undefined ? { id: null, wrong: 'not a text' } : parseMessage(text);
    if ('wrong' in parsed) this.refuse(viewer, parsed.id, 'bad-message', parsed.wrong);
    else if (parsed.message.type === 'subscribe') this.subscribe(ws, viewer, parsed.message);
    else if (!this.unsubscribe(viewer, parsed.message.id)) {
      this.refuse(viewer, parsed.message.id, 'unknown-subscription', 'there is no such subscription');
    }
  }

  private subscribe(ws: GatewaySocket, viewer: Viewer, { id, farm, fields, since }: Subscribe): void {
    const user = this.options.sessions.stillGood(ws.getUserData().caller);
    if (!user || !this.maySee(user, farm)) {
      this.refuse(viewer, id, 'forbidden', 'this farm is not for this user');
      return;
    }
    this.unsubscribe(viewer, id);
    if (viewer.subscriptions.size >= MAX_SUBSCRIPTIONS) {
      this.refuse(viewer, id, 'too-many-subscriptions', `at most ${MAX_SUBSCRIPTIONS} a socket`);
      return;
    }
    const subscription: Subscription = {
      id,
      farm,
      fields: fields === undefined ? undefined : new Set(fields),
      viewer,
      need: since
        ? { for: 'entries', epoch: since.epoch, after: since.seq, asked: this.options.passed() }
        : { for: 'snapshot', gap: false },
    };
    viewer.subscriptions.set(id, subscription);
    this.options.hub.subscribe(subscription);
  }

  private unsubscribe(viewer: Viewer | undefined, id: number): boolean {
    const subscription = viewer?.subscriptions.get(id);
    if (!viewer || !subscription) return false;
    viewer.subscriptions.delete(id);
    this.options.hub.unsubscribe(subscription);
    viewer.arrangeTopics();
    return true;
  }

  private maySee(user: User, farm: string): boolean {
    return this.options.registry.current().farms.has(farm) && roleOn(user, farm) !== undefined;
  }

  private refuse(viewer: Viewer, id: number | null, code: SocketRefusal, message: string): void {
    this.options.counters.refused[code]++;
    viewer.wire.send(frames.error(id, code, message));
  }
}

function isSlow(viewer: Viewer, waiting: number): boolean {
  if (waiting < SUSPICIOUS_BYTES) viewer.allowance = 0;
  const suspect = waiting > SUSPICIOUS_BYTES + viewer.allowance;
  const slow = waiting > SLOW_BYTES + viewer.allowance || (suspect && viewer.suspect);
  viewer.suspect = suspect;
  return slow;
}

function wireOf(ws: GatewaySocket) {
  return {
    send: (text: string) => void ws.send(text),
    join: (topic: string) => void ws.subscribe(topic),
    leave: (topic: string) => void ws.unsubscribe(topic),
    buffered: () => ws.getBufferedAmount(),
  };
}
