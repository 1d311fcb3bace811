import { clock } from '../../core/clock.ts';
import type { Link, Outgoing } from './link.ts';

const MOST = 1_000;

/**
 * The messages that wait for a link, in order. At the limit, the oldest is given up for each new one. After `close`,
 * every new message is given up at once.
 */
export class Outbox {
  private readonly most: number;
  private readonly waiting: Outgoing[] = [];
  private closed = false;

  constructor(most = MOST) {
    this.most = most;
  }

  get size(): number {
    return this.waiting.length;
  }

  add(message: Outgoing): void {
    if (this.closed) {
      message.settle(false);
      return;
    }
    this.waiting.push(message);
    if (this.waiting.length > this.most) this.waiting.shift()?.settle(false);
  }

  next(): Outgoing | undefined {
    return this.waiting.shift();
  }

  /** Gives up all messages that wait, and all that come later. */
  close(): void {
    this.closed = true;
    for (const message of this.waiting.splice(0)) message.settle(false);
  }
}

/** Resolves when a link has nothing pending, has lost its connection, or at `end` (monotonic ms). */
export async function drained(link: Pick<Link, 'connected' | 'pending'>, end: number): Promise<void> {
  while (link.connected && link.pending > 0 && clock.passed() < end) {
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
