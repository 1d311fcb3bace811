import type { Consumer, Handler, Queue } from '../../backbone/ports/queue.ts';
import { QueueFull, QueueUnavailable } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';

/** What goes wrong at the queue: so many messages are refused, kept without a confirm, or delivered again. */
export interface QueueFaults {
  /** The next so many publishes are refused, and nothing is kept. */
  refused: number;
  /** The next so many are kept, but their confirms are lost: whoever published them does so again. */
  unconfirmed: number;
  /** The next so many deliveries are worked off, but the acknowledgement is lost: they come again. */
  redelivered: number;
}

/** A real queue with faults, which all parts that use it share. */
export class FaultyQueue implements Queue {
  private readonly inner: Queue;
  private readonly faults: QueueFaults;

  constructor(inner: Queue, faults: QueueFaults) {
    this.inner = inner;
    this.faults = faults;
  }

  async publish(body: Uint8Array): Promise<void> {
    if (this.faults.refused > 0) {
      this.faults.refused -= 1;
      throw new QueueFull('at its limit');
    }
    await this.inner.publish(body);
    if (this.faults.unconfirmed === 0) return;
    this.faults.unconfirmed -= 1;
    throw new QueueUnavailable('away, after it has kept the message');
  }

  consume(handler: Handler, options: { readonly prefetch: number }): Promise<Consumer> {
    const forgetful: Handler = async (delivery) => {
      await handler(delivery);
      if (this.faults.redelivered === 0) return;
      this.faults.redelivered -= 1;
      throw new Error('the acknowledgement is lost');
    };
    return this.inner.consume(forgetful, options);
  }

  depth(): Promise<number> {
    return this.inner.depth();
  }
  drain(): Promise<void> {
    return this.inner.drain();
  }
  get state(): ConnectionState {
    return this.inner.state;
  }
  watch(listener: (state: ConnectionState) => void): () => void {
    return this.inner.watch(listener);
  }
  close(): Promise<void> {
    return this.inner.close();
  }
}
