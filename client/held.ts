import type { ServerMessage } from './messages.ts';

/** Twice the rows that a server sends before their tick. */
const MAX_ROWS = 40_000;

/**
 * Rows whose tick or snapshot has not come yet, and what came behind them, in the order of arrival.
 *
 * Only a tick or a snapshot moves the place from which a client goes on after a lost line. Rows handed on before it would come again.
 */
export class HeldMessages {
  #messages: ServerMessage[] = [];
  #rows = 0;

  /** Takes `message` when it has to wait: rows do, and what comes behind them. */
  takes(message: ServerMessage): boolean {
    if (message.type === 'readings') this.#rows += message.rows.length;
    else if (this.#messages.length === 0 || (message.type !== 'status' && message.type !== 'gap')) return false;
    this.#messages.push(message);
    return true;
  }

  /** Whether more waits than any server sends before a tick. */
  get isFull(): boolean {
    return this.#rows > MAX_ROWS || this.#messages.length > MAX_ROWS;
  }

  /** Gives back what was held and forgets it. */
  release(): readonly ServerMessage[] {
    const held = this.#messages;
    this.#messages = [];
    this.#rows = 0;
    return held;
  }
}
