import { retryDelay } from './backoff.ts';
import type { Line, LineHandlers } from './connection.ts';
import { Events, type LiveState } from './events.ts';
import { HeldMessages } from './held.ts';
import {
  type Position,
  parseServerMessage,
  probeMessage,
  type ServerMessage,
  subscribeMessage,
  unsubscribeMessage,
} from './messages.ts';
import { passedSince, type SteadyMoment, thisMoment } from './moment.ts';
import { Unexpected } from './shape-checks.ts';
import { LineWatchdog } from './watchdog.ts';

/** How long a new connection may take to bring its first snapshot or tick. */
const CATCH_UP_MS = 20_000;
/** A connection that was live for less than this does not reset the wait before the next try. */
const STEADY_MS = 10_000;
/** After this long without a message the client sends a probe; `wake()` then replaces the connection. */
const SILENT_MS = 30_000;
/** How long the server may take to answer a probe. */
const ANSWER_MS = 10_000;
/** A retry cannot help with these error codes: a person must change something first. */
const FINAL_ERRORS: ReadonlySet<string> = new Set(['forbidden', 'bad-message', 'too-many-subscriptions']);
/** The WebSocket close code that means: the sign-in session has ended. */
export const SESSION_ENDED = 4401;

export interface LiveClientOptions {
  /** Opens a connection with subprotocol `loam.v1`: see `dialWith`. */
  readonly dial: (handlers: LineHandlers) => Line;
  readonly random?: () => number;
  /** The time for `lostAt` and `retryAt`, Unix ms; by default this machine's, which may be wrong. */
  readonly now?: () => number;
  /** After how long a silence the client sends a probe, and how long the answer may take, ms. */
  readonly silentMs?: number;
  readonly answerMs?: number;
}

/**
 * Follows one farm, or some fields of it, over a connection that may break at any time.
 *
 * `watch(farm)` changes the state from idle to connecting. When the connection is open, the client subscribes and is
 * catching up. The first snapshot or tick makes it live.
 * When the connection closes, the client waits (a random time below a limit that doubles up to half a minute), connects
 * again, and asks for all that came after the last `seq` it was given. So nothing is missed. If the server no longer
 * has that position, it sends `gap` and then a snapshot. The client keeps its old position until the snapshot comes: if
 * the connection breaks before that, the server sends the gap again.
 * Rows are given to listeners when the tick or snapshot behind them has come. If the connection breaks before that, the
 * rows are dropped: the server sends them again.
 * When the connection is silent for too long, the client sends a probe. Without an answer it treats the connection as
 * lost.
 * `wake()` ends the wait at once. The client calls it by itself when the clock shows that the machine slept.
 * An error that a retry cannot help with, such as a farm that this user may not see, leads to refused, until another
 * `watch`. `stop()` leads back to idle.
 *
 * Messages of an earlier subscription or of another farm are dropped. Messages that cannot be read are counted.
 */
export class LiveClient extends Events {
  readonly #options: LiveClientOptions;
  readonly #watchdog: LineWatchdog;
  readonly #held = new HeldMessages();
  #state: LiveState = { phase: 'idle' };
  #farm: string | undefined;
  #fields: readonly string[] | undefined;
  #position: Position | undefined;
  #line: Line | undefined;
  #open = false;
  #id = 0;
  #attempt = 0;
  #lostAt: number | undefined;
  #liveSince: SteadyMoment | undefined;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unreadable = 0;

  constructor(options: LiveClientOptions) {
    super();
    this.#options = options;
    this.#watchdog = new LineWatchdog({
      silentMs: options.silentMs ?? SILENT_MS,
      answerMs: options.answerMs ?? ANSWER_MS,
      probe: () => this.#line?.send(probeMessage()),
      dead: () => this.#lost(),
      woke: () => this.wake(),
    });
  }

  get state(): LiveState {
    return this.#state;
  }

  /** How many messages broke the protocol and were dropped. */
  get unreadable(): number {
    return this.#unreadable;
  }

  /** Follows `farm` from now on, and no other: all of it, or only `fields`. */
  watch(farm: string, fields?: readonly string[]): void {
    const same = farm === this.#farm && `${fields}` === `${this.#fields}`;
    if (same && this.#state.phase !== 'refused') return;
    const before = this.#farm;
    this.#farm = farm;
    this.#fields = fields;
    this.#position = undefined;
    if (this.#open && this.#line) {
      if (before !== undefined) this.#line.send(unsubscribeMessage(this.#id));
      this.#subscribe(this.#line);
    } else if (this.#line === undefined) {
      this.#connect();
    }
  }

  stop(): void {
    this.#drop();
    this.#farm = undefined;
    this.#position = undefined;
    this.#lostAt = undefined;
    this.#attempt = 0;
    this.#set({ phase: 'idle' });
  }

  /** The device or its network woke up: retries now instead of later, and replaces a connection long silent. */
  wake(): void {
    if (this.#farm === undefined || this.#state.phase === 'refused') return;
    if (this.#state.phase === 'waiting' || (this.#open && this.#watchdog.silent)) {
      this.#attempt = 0;
      if (this.#state.phase === 'live') this.#lostAt = this.#now();
      this.#drop();
      this.#connect();
    }
  }

  /** Call this when the device says that it has no network: the client then gives up an open connection at once. */
  sleep(): void {
    if (this.#line) this.#lost();
  }

  #connect(): void {
    clearTimeout(this.#timer);
    this.#set({ phase: 'connecting', lostAt: this.#lostAt });
    this.#timer = setTimeout(() => this.#lost(), CATCH_UP_MS);
    const line: Line = this.#options.dial({
      opened: () => {
        this.#open = true;
        this.#watchdog.begin();
        this.#subscribe(line);
      },
      message: (data) => this.#take(data),
      closed: (code) => {
        this.#lost();
        this.emit('lost', { sessionEnded: code === SESSION_ENDED });
      },
    });
    this.#line = line;
  }

  #subscribe(line: Line): void {
    if (this.#farm === undefined) return;
    this.#id++;
    this.#held.release();
    this.#liveSince = undefined;
    this.#set({ phase: 'catching-up', lostAt: this.#lostAt, storeAway: false });
    line.send(subscribeMessage(this.#id, { farm: this.#farm, fields: this.#fields, since: this.#position }));
  }

  #take(data: string): void {
    this.#watchdog.heard();
    const message = this.#read(data);
    if (message === undefined || !this.#concerns(message)) return;
    switch (message.type) {
      case 'snapshot':
        this.#position = { epoch: message.epoch, seq: message.seq };
        break;
      case 'tick':
        if (this.#position) this.#position = { ...this.#position, seq: message.seq };
        break;
      case 'degraded':
        if (this.#state.phase === 'live') this.#set({ phase: 'live', tickMs: message.tickMs });
        break;
      case 'error':
        this.#fail(message.code, message.message);
        break;
      case 'gap':
      case 'readings':
      case 'status':
        break;
    }
    if (this.#held.takes(message)) {
      // No server sends so many rows before a tick. If the tick is missing, show them rather than keep them.
      if (this.#held.isFull) this.#handOnHeld();
      return;
    }
    if (message.type === 'snapshot' || message.type === 'tick') this.#handOnHeld();
    this.emitMessage(message);
    // Listeners get the content first: the state `live` tells them that they have it.
    if (message.type === 'snapshot' || message.type === 'tick') this.#caughtUp();
  }

  #handOnHeld(): void {
    // A listener may call `watch` for another farm during this loop.
    for (const message of this.#held.release()) if (this.#concerns(message)) this.emitMessage(message);
  }

  #read(data: string): ServerMessage | undefined {
    try {
      return parseServerMessage(data);
    } catch (error) {
      if (!(error instanceof Unexpected)) throw error;
      this.#unreadable++;
      return undefined;
    }
  }

  #concerns(message: ServerMessage): boolean {
    if ('id' in message && message.id !== undefined) return message.id === this.#id;
    if ('farm' in message && message.farm !== undefined) return message.farm === this.#farm;
    return true;
  }

  #caughtUp(): void {
    if (this.#state.phase === 'live') return;
    clearTimeout(this.#timer);
    this.#liveSince = thisMoment();
    this.#lostAt = undefined;
    this.#set({ phase: 'live', tickMs: undefined });
  }

  #fail(code: string, message: string): void {
    if (FINAL_ERRORS.has(code)) {
      this.#drop();
      this.#set({ phase: 'refused', code, message });
    } else if (code === 'store-unavailable') {
      // The subscription stays: the server sends its snapshot when the store is back, however long that takes.
      clearTimeout(this.#timer);
      this.#set({ phase: 'catching-up', lostAt: this.#lostAt, storeAway: true });
    } else if (code !== 'unknown-subscription') {
      this.#lost();
    }
  }

  #lost(): void {
    const now = this.#now();
    if (this.#liveSince !== undefined && passedSince(this.#liveSince) > STEADY_MS) this.#attempt = 0;
    this.#drop();
    this.#lostAt ??= now;
    const delay = retryDelay(this.#attempt++, this.#options.random);
    this.#timer = setTimeout(() => this.#connect(), delay);
    this.#set({ phase: 'waiting', lostAt: this.#lostAt, retryAt: now + delay });
  }

  #drop(): void {
    clearTimeout(this.#timer);
    this.#watchdog.end();
    this.#held.release();
    this.#line?.close();
    this.#line = undefined;
    this.#open = false;
    this.#liveSince = undefined;
  }

  #now(): number {
    return this.#options.now?.() ?? Date.now();
  }

  #set(state: LiveState): void {
    this.#state = state;
    this.emit('state', state);
  }
}
