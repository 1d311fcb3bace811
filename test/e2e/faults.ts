import type { Consumer, Handler, Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { QueueFull, QueueUnavailable, StoreUnavailable } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';
import { overlay } from '../gateway/harness.ts';

/** What goes wrong at the queue and the store, and how often. */
export interface Faults {
  /** The next so many publishes are refused, and nothing is kept. */
  refused: number;
  /** The next so many are kept, but their confirms are lost: whoever published them does so again. */
  unconfirmed: number;
  /** The next so many deliveries are worked off, but the acknowledgement is lost: they come again. */
  redelivered: number;
  /** The next so many writes to the store fail, and nothing is kept. */
  unwritten: number;
}

/** A real store with faults. */
export function faultyStore(store: Store, faults: Faults): Store {
  const write: Store['write'] = async (readings) => {
    if (faults.unwritten === 0) return await store.write(readings);
    faults.unwritten -= 1;
    throw new StoreUnavailable('away');
  };
  return overlay(store, { write });
}

/** A real queue with faults, which all parts that use it share. `onKept` is told the body of every message that the queue has. */
export class FaultyQueue implements Queue {
  private readonly inner: Queue;
  private readonly faults: Faults;
  private readonly onKept: (body: Uint8Array) => void;

  constructor(inner: Queue, faults: Faults, onKept: (body: Uint8Array) => void) {
    this.inner = inner;
    this.faults = faults;
    this.onKept = onKept;
  }

  async publish(body: Uint8Array): Promise<void> {
    if (this.faults.refused > 0) {
      this.faults.refused -= 1;
      throw new QueueFull('at its limit');
    }
    await this.inner.publish(body);
    this.onKept(body);
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
