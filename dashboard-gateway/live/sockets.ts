import { type Registry, roleOn, type User } from '../../telemetry/registry.ts';
import { type Access, isSameOrigin } from '../http/origin.ts';
import { HttpProblem, problemReply, retryLater } from '../http/problem.ts';
import { readHead } from '../http/request.ts';
import { writeReply } from '../http/write.ts';
import type { Caller, Sessions } from '../sign-in/sessions.ts';
import type { HttpResponse, TemplatedApp, UwsModule, us_socket_context_t, WebSocket } from '../uws.ts';
import type { LiveHub } from './hub.ts';
import { MessageRate } from './message-rate.ts';
import {
  CLOSE,
  frames,
  type LiveErrorCode,
  MAX_MESSAGE_BYTES,
  MAX_SUBSCRIPTIONS,
  parseMessage,
  SUBPROTOCOL,
  type Subscribe,
} from './protocol.ts';
import { Viewer } from './viewer.ts';

const MAX_SOCKETS = 10_000;
/** A socket with more than this waiting is behind; it gets nothing more until less than a quarter of it is left. */
const BEHIND_BYTES = 256 * 1024;
/** Never reached by a socket that is taken out when it is behind. Past it frames would be lost in silence, so the socket is closed instead. */
const MOST_BACKPRESSURE = 32 * 1024 * 1024;
const IDLE_SECONDS = 60;
const BURST = 200;
const MESSAGES_PER_SECOND = 20;

interface Client {
  readonly caller: Caller;
  readonly rate: MessageRate;
  viewer: Viewer | undefined;
}
type Socket = WebSocket<Client>;

export interface SocketsOptions {
  readonly uws: UwsModule;
  readonly hub: LiveHub;
  readonly sessions: Sessions;
  readonly registry: { current(): Registry };
  readonly access: Access;
  readonly now: () => number;
}

/** The WebSocket door: who may come in, what they ask for, and what happens when they read too slowly. */
export class LiveSockets {
  private readonly options: SocketsOptions;
  private readonly open = new Set<Socket>();
  private stopping = false;

  constructor(options: SocketsOptions) {
    this.options = options;
  }

  /** Answers WebSocket handshakes at `/ws` of `app`. */
  attach(app: TemplatedApp): void {
    app.ws<Client>('/ws', {
      compression: this.options.uws.DISABLED,
      maxPayloadLength: MAX_MESSAGE_BYTES,
      maxBackpressure: MOST_BACKPRESSURE,
      closeOnBackpressureLimit: 1,
      idleTimeout: IDLE_SECONDS,
      sendPingsAutomatically: true,
      upgrade: (res, req, context) => {
        const head = readHead(res, req, this.options.access);
        const key = req.getHeader('sec-websocket-key');
        const extensions = req.getHeader('sec-websocket-extensions');
        const protocols = req.getHeader('sec-websocket-protocol');
        void this.upgrade(res, head, { key, extensions, protocols, context });
      },
      open: (ws) => {
        ws.getUserData().viewer = new Viewer(wireOf(ws));
        this.open.add(ws);
      },
      message: (ws, bytes, isBinary) => this.take(ws, isBinary ? undefined : Buffer.from(bytes).toString('utf8')),
      drain: (ws) => this.drained(ws),
      close: (ws) => {
        this.open.delete(ws);
        const { viewer } = ws.getUserData();
        for (const subscription of viewer?.subscriptions.values() ?? []) this.options.hub.unsubscribe(subscription);
        viewer?.subscriptions.clear();
      },
    });
  }

  /** Takes sockets that are behind out of what is published. To be called a few times a second. */
  checkSpeed(): void {
    for (const ws of this.open) {
      const { viewer } = ws.getUserData();
      if (!viewer || viewer.behind || viewer.subscriptions.size === 0) continue;
      const waiting = ws.getBufferedAmount();
      if (waiting < BEHIND_BYTES) viewer.allowance = 0;
      else if (waiting > BEHIND_BYTES + viewer.allowance) {
        viewer.behind = true;
        viewer.arrangeTopics();
      }
    }
  }

  /** Closes sockets whose session has ended, and ends subscriptions to farms that are no longer the user's. */
  checkRights(): void {
    for (const ws of [...this.open]) {
      const { caller, viewer } = ws.getUserData();
      const user = this.options.sessions.stillGood(caller);
      if (!user) {
        ws.end(CLOSE.sessionEnded, 'the session has ended');
        continue;
      }
      for (const { id, farm } of [...(viewer?.subscriptions.values() ?? [])]) {
        if (this.maySee(user, farm)) continue;
        this.unsubscribe(viewer, id);
        viewer?.wire.send(frames.error(id, 'forbidden', 'this farm is not for this user any more'));
      }
    }
  }

  /** Says goodbye to every socket and takes no new ones. */
  close(): void {
    this.stopping = true;
    for (const ws of [...this.open]) ws.end(CLOSE.goingAway, 'the gateway stops');
  }

  private async upgrade(
    res: HttpResponse,
    head: ReturnType<typeof readHead>,
    handshake: { key: string; extensions: string; protocols: string; context: us_socket_context_t },
  ): Promise<void> {
    let gone = false;
    res.onAborted(() => {
      gone = true;
    });
    const refused = (problem: HttpProblem) => {
      if (!gone) writeReply(res, head, problemReply(problem), true);
    };
    if (!isSameOrigin(head)) return refused(new HttpProblem('cross-origin'));
    const offered = handshake.protocols.split(',').map((p) => p.trim());
    if (!offered.includes(SUBPROTOCOL)) {
      return refused(new HttpProblem('invalid-request', `the subprotocol ${SUBPROTOCOL} is not offered`));
    }
    if (this.stopping || this.open.size >= MAX_SOCKETS) return refused(retryLater('busy', 5));
    const caller = await this.options.sessions.caller(head.headers);
    if (!caller) return refused(new HttpProblem('not-signed-in'));
    if (this.stopping) return refused(retryLater('busy', 1));
    if (gone) return;
    const rate = new MessageRate(BURST, MESSAGES_PER_SECOND, this.options.now());
    const client: Client = { caller, rate, viewer: undefined };
    const { key, extensions, context } = handshake;
    res.cork(() => res.upgrade<Client>(client, key, SUBPROTOCOL, extensions, context));
  }

  private take(ws: Socket, text: string | undefined): void {
    const { viewer, rate } = ws.getUserData();
    if (!viewer) return;
    if (!rate.take(this.options.now())) {
      ws.end(CLOSE.policy, 'too many messages');
      return;
    }
    const parsed = text === undefined ? { id: null, wrong: 'not a text' } : parseMessage(text);
    if ('wrong' in parsed) this.refuse(viewer, parsed.id, 'bad-message', parsed.wrong);
    else if (parsed.message.type === 'subscribe') this.subscribe(ws, viewer, parsed.message);
    else if (!this.unsubscribe(viewer, parsed.message.id)) {
      this.refuse(viewer, parsed.message.id, 'unknown-subscription', 'there is no such subscription');
    }
  }

  private subscribe(ws: Socket, viewer: Viewer, { id, farm, fields, since }: Subscribe): void {
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
    const subscription = {
      id,
      farm,
      fields: fields === undefined ? undefined : new Set(fields),
      viewer,
      live: false,
      gap: since !== undefined,
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

  /** What waited has gone, or some of it: a socket that was behind begins afresh. */
  private drained(ws: Socket): void {
    const { viewer } = ws.getUserData();
    if (!viewer?.behind || ws.getBufferedAmount() > BEHIND_BYTES / 4) return;
    viewer.behind = false;
    viewer.allowance = 0;
    for (const subscription of viewer.subscriptions.values()) this.options.hub.renew(subscription, true);
  }

  private maySee(user: User, farm: string): boolean {
    return this.options.registry.current().farms.has(farm) && roleOn(user, farm) !== undefined;
  }

  private refuse(viewer: Viewer, id: number | null, code: LiveErrorCode, message: string): void {
    viewer.wire.send(frames.error(id, code, message));
  }
}

function wireOf(ws: Socket) {
  return {
    send: (text: string) => void ws.send(text),
    join: (topic: string) => void ws.subscribe(topic),
    leave: (topic: string) => void ws.unsubscribe(topic),
    buffered: () => ws.getBufferedAmount(),
  };
}
