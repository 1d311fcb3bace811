import type { ServerMessage } from './messages.ts';

/** Twice as many rows as a server sends at most before their tick. */
const MAX_ROWS = 40_000;

/**
 * Rows whose tick or snapshot has not come yet, and the messages that came after them, in the order of arrival.
 *
 * Only a tick or a snapshot moves the position from which a client goes on after a lost connection. If listeners got
 * rows before that, they could get them a second time.
 */
export class HeldMessages {
  #messages: ServerMessage[] = [];
  #rows = 0;

  /** Keeps `message` and returns true when it has to wait: rows, and `status` or `gap` after rows. */
  takes(message: ServerMessage): boolean {
    if (message.type === 'readings') this.#rows += message.rows.length;
    else if (this.#messages.length === 0 || (message.type !== 'status' && message.type !== 'gap')) return false;
    this.#messages.push(message);
    return true;
  }

  /** Whether more messages wait than any server sends before a tick. */
  get isFull(): boolean {
    return this.#rows > MAX_ROWS || this.#messages.length > MAX_ROWS;
  }

  /** Returns the messages that were held, and forgets them. */
  release(): readonly ServerMessage[] {
    const held = this.#messages;
    this.#messages = [];
    this.#rows = 0;
    return held;
  }
}
