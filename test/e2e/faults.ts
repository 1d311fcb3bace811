import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { QueueFull, QueueUnavailable, StoreUnavailable } from '../../core/errors.ts';
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
export function faultyQueue(queue: Queue, faults: Faults, onKept: (body: Uint8Array) => void): Queue {
  const publish: Queue['publish'] = async (body) => {
    if (faults.refused > 0) {
      faults.refused -= 1;
      throw new QueueFull('at its limit');
    }
    await queue.publish(body);
    onKept(body);
    if (faults.unconfirmed === 0) return;
    faults.unconfirmed -= 1;
    throw new QueueUnavailable('away, after it has kept the message');
  };
  const consume: Queue['consume'] = (handler, options) =>
    queue.consume(async (delivery) => {
      await handler(delivery);
      if (faults.redelivered === 0) return;
      faults.redelivered -= 1;
      throw new Error('the acknowledgement is lost');
    }, options);
  return overlay(queue, { publish, consume });
}
