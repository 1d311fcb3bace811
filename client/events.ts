import type { ServerMessage } from './messages.ts';

/**
 * Times are Unix ms. `lostAt` is when the client noticed that it is no longer live, or when the first attempt failed.
 * `tickMs` is set while the server sends less often than usual.
 */
export type LiveState =
  | { readonly phase: 'idle' }
  | { readonly phase: 'connecting'; readonly lostAt: number | undefined }
  | { readonly phase: 'catching-up'; readonly lostAt: number | undefined; readonly storeAway: boolean }
  | { readonly phase: 'live'; readonly tickMs: number | undefined }
  | { readonly phase: 'waiting'; readonly lostAt: number; readonly retryAt: number }
  | { readonly phase: 'refused'; readonly code: string; readonly message: string };

type MessageOf<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>;

/** The events and their data. A server message comes as `message` and under its own type, in order of arrival. */
export interface LiveEvents {
  message: ServerMessage;
  snapshot: MessageOf<'snapshot'>;
  readings: MessageOf<'readings'>;
  tick: MessageOf<'tick'>;
  /** Rows were missed and will not come any more: fetch the ranges on screen again. */
  gap: MessageOf<'gap'>;
  status: MessageOf<'status'>;
  degraded: MessageOf<'degraded'>;
  error: MessageOf<'error'>;
  state: LiveState;
  /**
   * The connection broke or could not be made; the client retries by itself. `sessionEnded`: the server closed the
   * connection because the sign-in session has ended.
   */
  lost: { readonly sessionEnded: boolean };
}

type Listeners = { [Name in keyof LiveEvents]?: Set<(told: LiveEvents[Name]) => void> };

/** Keeps the listeners of each event. */
export class Events {
  readonly #listeners: Listeners = {};

  /** Calls `listener` at every event `name` from now on. Returns the function that removes it. */
  on<Name extends keyof LiveEvents>(name: Name, listener: (told: LiveEvents[Name]) => void): () => void {
    const listeners: Set<(told: LiveEvents[Name]) => void> = this.#listeners[name] ?? new Set();
    Object.assign(this.#listeners, { [name]: listeners });
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Calls all current listeners. A listener that is added during the call gets the next event. */
  protected emit<Name extends keyof LiveEvents>(name: Name, told: LiveEvents[Name]): void {
    const listeners: Set<(told: LiveEvents[Name]) => void> | undefined = this.#listeners[name];
    for (const listener of [...(listeners ?? [])]) listener(told);
  }

  protected emitMessage(message: ServerMessage): void {
    this.emit('message', message);
    switch (message.type) {
      case 'snapshot':
        this.emit('snapshot', message);
        break;
      case 'readings':
        this.emit('readings', message);
        break;
      case 'tick':
        this.emit('tick', message);
        break;
      case 'gap':
        this.emit('gap', message);
        break;
      case 'status':
        this.emit('status', message);
        break;
      case 'degraded':
        this.emit('degraded', message);
        break;
      case 'error':
        this.emit('error', message);
        break;
    }
  }
}
