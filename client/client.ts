import { retryDelay } from './backoff.ts';
import { Unexpected } from './check.ts';
import { Events, type LiveState } from './events.ts';
import { HeldMessages } from './held.ts';
import type { Line, LineHandlers } from './line.ts';
import {
  type Position,
  parseServerMessage,
  probeMessage,
  type ServerMessage,
  subscribeMessage,
  unsubscribeMessage,
} from './messages.ts';
import { LineWatchdog } from './watchdog.ts';

/** How long a new connection may take to bring its first snapshot or tick. */
const CATCH_UP_MS = 20_000;
/** A connection that was live for less than this does not reset the wait before the next try. */
const STEADY_MS = 10_000;
/** A line silent for longer is asked for a sign of life, and on waking up not trusted at all. */
const SILENT_MS = 30_000;
/** How long the answer to that may take. */
const ANSWER_MS = 10_000;
/** Trying again cannot help with these: a person must change something. */
const FINAL_ERRORS: ReadonlySet<string> = new Set(['forbidden', 'bad-message', 'too-many-subscriptions']);
/** The server closes with this code when the session has ended. */
export const SESSION_ENDED = 4401;

export interface LiveClientOptions {
  /** Opens a connection with subprotocol `loam.v1`: see `dialWith`. */
  readonly dial: (handlers: LineHandlers) => Line;
  readonly random?: () => number;
  /** After how long a silence the line is asked for a sign of life, and how long the answer may take, ms. */
  readonly silentMs?: number;
  readonly answerMs?: number;
}

/**
 * Follows one farm, or some fields of it, over a connection that may break at any time.
 *
 * `watch(farm)` moves it from idle to connecting. Once the line is open it subscribes and is catching up; the first snapshot or tick makes it live.
 * When the line closes it waits (full jitter, doubling up to half a minute), connects again, and asks to go on from the last `seq` it was given,
 * so that nothing is missed; if the server no longer has that place it says `gap`, and a snapshot follows. A position is kept until a newer one comes:
 * whoever loses the line between a gap and its snapshot is told of the gap again.
 * Rows are handed on when the tick or snapshot behind them has come. Should the line be lost before it, they are dropped: they come again.
 * A line that falls silent is asked for a sign of life; without one it counts as lost, though it was never closed.
 * `wake()` ends the wait at once; it is called by itself when the clock shows that the machine slept.
 * A farm that this user may not see ends in refused, until another `watch`. `stop()` leads back to idle.
 *
 * Messages of an earlier subscription or of another farm are dropped here; unreadable ones are counted.
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
  #liveSince: number | undefined;
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

  /** The device or its network woke up: tries again now instead of later, and replaces a line that has long been silent. */
  wake(): void {
    if (this.#farm === undefined || this.#state.phase === 'refused') return;
    if (this.#state.phase === 'waiting' || (this.#open && this.#watchdog.silent)) {
      this.#attempt = 0;
      if (this.#state.phase === 'live') this.#lostAt = Date.now();
      this.#drop();
      this.#connect();
    }
  }

  /** The device says that it has no network: an open line is not worth waiting for. */
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
      // No server sends so much before a tick. Without one, better shown than kept.
      if (this.#held.isFull) this.#handOnHeld();
      return;
    }
    if (message.type === 'snapshot' || message.type === 'tick') this.#handOnHeld();
    this.emitMessage(message);
    // Only after its news has been handed on may a snapshot be called live.
    if (message.type === 'snapshot' || message.type === 'tick') this.#caughtUp();
  }

  #handOnHeld(): void {
    // A listener may turn to another farm meanwhile.
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
    this.#liveSince = Date.now();
    this.#lostAt = undefined;
    this.#set({ phase: 'live', tickMs: undefined });
  }

  #fail(code: string, message: string): void {
    if (FINAL_ERRORS.has(code)) {
      this.#drop();
      this.#set({ phase: 'refused', code, message });
    } else if (code === 'store-unavailable') {
      // The subscription stays: its snapshot comes by itself when the store is back, however long that takes.
      clearTimeout(this.#timer);
      this.#set({ phase: 'catching-up', lostAt: this.#lostAt, storeAway: true });
    } else if (code !== 'unknown-subscription') {
      this.#lost();
    }
  }

  #lost(): void {
    const now = Date.now();
    if (this.#liveSince !== undefined && now - this.#liveSince > STEADY_MS) this.#attempt = 0;
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

  #set(state: LiveState): void {
    this.#state = state;
    this.emit('state', state);
  }
}
