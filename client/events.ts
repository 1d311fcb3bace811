import type { ServerMessage } from './messages.ts';

/** Times are Unix ms; `lostAt` is when the farm was last live, or when the first try failed. `tickMs` is set while the server sends less often. */
export type LiveState =
  | { readonly phase: 'idle' }
  | { readonly phase: 'connecting'; readonly lostAt: number | undefined }
  | { readonly phase: 'catching-up'; readonly lostAt: number | undefined; readonly storeAway: boolean }
  | { readonly phase: 'live'; readonly tickMs: number | undefined }
  | { readonly phase: 'waiting'; readonly lostAt: number; readonly retryAt: number }
  | { readonly phase: 'refused'; readonly code: string; readonly message: string };

type MessageOf<Type extends ServerMessage['type']> = Extract<ServerMessage, { type: Type }>;

/** What listeners are told. Each message comes under its own name, and all of them as `message`, in the order of arrival. */
export interface LiveEvents {
  message: ServerMessage;
  snapshot: MessageOf<'snapshot'>;
  readings: MessageOf<'readings'>;
  tick: MessageOf<'tick'>;
  /** Something was missed for good: fetch the ranges on screen again. */
  gap: MessageOf<'gap'>;
  status: MessageOf<'status'>;
  degraded: MessageOf<'degraded'>;
  error: MessageOf<'error'>;
  state: LiveState;
  /** The connection broke or could not be made; the next try follows by itself. `sessionEnded` when the server said that it was for that. */
  lost: { readonly sessionEnded: boolean };
}

type Listeners = { [Name in keyof LiveEvents]?: Set<(told: LiveEvents[Name]) => void> };

/** Keeps who listens to what. */
export class Events {
  readonly #listeners: Listeners = {};

  /** Calls `listener` from now on. Gives back the function that ends it. */
  on<Name extends keyof LiveEvents>(name: Name, listener: (told: LiveEvents[Name]) => void): () => void {
    const listeners: Set<(told: LiveEvents[Name]) => void> = this.#listeners[name] ?? new Set();
    Object.assign(this.#listeners, { [name]: listeners });
    listeners.add(listener);
    return () => listeners.delete(listener);
  }

  /** Tells everybody who listens now; who is added meanwhile is told the next time. */
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
