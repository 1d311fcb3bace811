import { retryDelay } from './backoff.ts';
import { Unexpected } from './check.ts';
import {
  type Position,
  parseServerMessage,
  type ServerMessage,
  subscribeMessage,
  unsubscribeMessage,
} from './messages.ts';

/** How long a new connection may take to bring its first snapshot or tick. */
const CATCH_UP_MS = 20_000;
/** A connection that was live for less than this does not reset the wait before the next try. */
const STEADY_MS = 10_000;
/** On waking up, an open connection that has been silent for longer is not trusted. */
const SILENT_MS = 30_000;
/** Trying again cannot help with these: a person must change something. */
const FINAL_ERRORS: ReadonlySet<string> = new Set(['forbidden', 'bad-message', 'too-many-subscriptions']);
/** The server closes with this code when the session has ended. */
export const SESSION_ENDED = 4401;

/** Times are Unix ms; `lostAt` is when the farm was last live, or when the first try failed. */
export type LiveState =
  | { readonly phase: 'idle' }
  | { readonly phase: 'connecting'; readonly lostAt: number | undefined }
  | { readonly phase: 'catching-up'; readonly lostAt: number | undefined; readonly storeAway: boolean }
  | { readonly phase: 'live'; readonly tickMs: number | undefined }
  | { readonly phase: 'waiting'; readonly lostAt: number; readonly retryAt: number }
  | { readonly phase: 'refused'; readonly code: string; readonly message: string };

/** One connection to the server. After `close` none of its handlers is called. */
export interface Line {
  send(text: string): void;
  close(): void;
}

export interface LineHandlers {
  opened(): void;
  message(data: string): void;
  closed(code: number): void;
}

export interface LiveClientOptions {
  /** Opens a connection with subprotocol `loam.v1`. */
  readonly dial: (handlers: LineHandlers) => Line;
  readonly onMessage: (message: ServerMessage) => void;
  readonly onState: (state: LiveState) => void;
  /** The connection broke or could not be made; the next try follows by itself. `sessionEnded` when the server said that it was for that. */
  readonly onLost?: (sessionEnded: boolean) => void;
  readonly random?: () => number;
}

/**
 * Follows one farm over a connection that may break at any time.
 *
 * `watch(farm)` moves it from idle to connecting. Once the line is open it subscribes and is catching up; the first snapshot or tick makes it live.
 * When the line closes it waits (full jitter, doubling up to half a minute), connects again, and asks to go on from the last `seq` it was given,
 * so that nothing is missed; if the server no longer has that place it says `gap`, and a snapshot follows. A position is kept until a newer one comes:
 * whoever loses the line between a gap and its snapshot is told of the gap again.
 * `wake()` ends the wait at once. A farm that this user may not see ends in refused, until another `watch`. `stop()` leads back to idle.
 *
 * Messages of an earlier subscription or of another farm are dropped here; unreadable ones are counted.
 */
export class LiveClient {
  readonly #options: LiveClientOptions;
  #state: LiveState = { phase: 'idle' };
  #farm: string | undefined;
  #position: Position | undefined;
  #line: Line | undefined;
  #open = false;
  #id = 0;
  #attempt = 0;
  #lostAt: number | undefined;
  #liveSince: number | undefined;
  #heardAt = 0;
  #timer: ReturnType<typeof setTimeout> | undefined;
  #unreadable = 0;

  constructor(options: LiveClientOptions) {
    this.#options = options;
  }

  get state(): LiveState {
    return this.#state;
  }

  /** How many messages broke the protocol and were dropped. */
  get unreadable(): number {
    return this.#unreadable;
  }

  /** Follows `farm` from now on, and no other. */
  watch(farm: string): void {
    if (farm === this.#farm && this.#state.phase !== 'refused') return;
    const before = this.#farm;
    this.#farm = farm;
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
    const silent = Date.now() - this.#heardAt > SILENT_MS;
    if (this.#state.phase === 'waiting' || (this.#open && silent)) {
      this.#attempt = 0;
      this.#drop();
      this.#connect();
    }
  }

  /** The device says that it has no network: an open line is not worth waiting for. */
  sleep(): void {
    if (this.#line) this.#lost();
  }

  #connect(): void {
    this.#set({ phase: 'connecting', lostAt: this.#lostAt });
    const line: Line = this.#options.dial({
      opened: () => {
        this.#open = true;
        this.#subscribe(line);
      },
      message: (data) => this.#take(data),
      closed: (code) => {
        this.#lost();
        this.#options.onLost?.(code === SESSION_ENDED);
      },
    });
    this.#line = line;
    this.#timer = setTimeout(() => this.#lost(), CATCH_UP_MS);
  }

  #subscribe(line: Line): void {
    if (this.#farm === undefined) return;
    this.#id++;
    this.#heardAt = Date.now();
    this.#liveSince = undefined;
    this.#set({ phase: 'catching-up', lostAt: this.#lostAt, storeAway: false });
    line.send(subscribeMessage(this.#id, this.#farm, this.#position));
  }

  #take(data: string): void {
    this.#heardAt = Date.now();
    const message = this.#read(data);
    if (message === undefined) return;
    if ('id' in message && message.id !== undefined && message.id !== this.#id) return;
    if ('farm' in message && message.farm !== undefined && message.farm !== this.#farm) return;
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
    this.#options.onMessage(message);
    // Only after its news has been handed on may a snapshot be called live.
    if (message.type === 'snapshot' || message.type === 'tick') this.#caughtUp();
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
    this.#line?.close();
    this.#line = undefined;
    this.#open = false;
    this.#liveSince = undefined;
  }

  #set(state: LiveState): void {
    this.#state = state;
    this.#options.onState(state);
  }
}
