import type { BatchEntrance } from '../backbone/account/batch-entrance.ts';
import type { Queue } from '../backbone/ports/queue.ts';
import { clock } from '../core/clock.ts';
import { QueueFull } from '../core/errors.ts';
import type { Logger } from '../core/logger.ts';
import { clockRunOf } from '../telemetry/account/batch-place.ts';
import { type DeadLetter, decodeBatch, encodeBatch, type Publish } from '../telemetry/batch.ts';
import { OutageGate } from './outage-gate.ts';

/** A queue to which publishes are left that would hold up others. */
export interface SideQueue {
  readonly name: string;
  readonly queue: Queue;
  /** Numbers what goes to it. */
  readonly entrance: BatchEntrance;
  readonly counted: (publishes: readonly Publish[]) => void;
  /** What is said of the dead letters of publishes that it has no room for. */
  readonly ifFull: { readonly reason: string; readonly explanation: string };
}

export interface LeftApartParts {
  readonly log: Logger;
  readonly signal: AbortSignal;
  readonly setAside: (letters: readonly DeadLetter[]) => Promise<void>;
}

/** The way of publishes to another queue. */
export class LeftApart {
  readonly gate: OutageGate;
  private readonly side: SideQueue;
  private readonly setAside: LeftApartParts['setAside'];

  constructor(side: SideQueue, { log, signal, setAside }: LeftApartParts) {
    this.side = side;
    this.setAside = setAside;
    this.gate = new OutageGate(side.name, side.queue, log, signal);
  }

  /**
   * Hands messages to the queue. When that is full, their publishes become dead letters: whoever does not need it must not wait for those who
   * do. Rejects when the worker is stopped in an outage of the queue.
   */
  async leave(messages: readonly Uint8Array[]): Promise<void> {
    const { queue, entrance, counted, ifFull } = this.side;
    for (const message of messages) {
      const batch = decodeBatch(message);
      const { publishes } = batch;
      try {
        // Each attempt has a number of its own: so numbers stand in the queue in their order.
        await this.gate.until(() =>
          entrance.send((place) => queue.publish(encodeBatch({ ...batch, place })).catch(asNoOutage)),
        );
        counted(publishes);
      } catch (error) {
        if (!(error instanceof SideQueueFull)) throw error;
        const at = clock.now();
        const run = clockRunOf(batch.id);
        await this.setAside(publishes.map((publish) => ({ publish, ...ifFull, at, run })));
      }
    }
  }
}

/** No outage: to wait for it would hold up everybody. */
class SideQueueFull extends Error {}

function asNoOutage(error: unknown): never {
  throw error instanceof QueueFull ? new SideQueueFull(error.message, { cause: error }) : error;
}

export const SLOW_QUEUE_FULL = {
  reason: 'slow_queue_full',
  explanation: 'it needs a codec, or time, and the slow queue is full: replay it when that has emptied',
};

export const UNDATED_QUEUE_FULL = {
  reason: 'clock_doubted',
  explanation:
    'it is dated by its receipt, nobody believes the clock that gave it, and as many wait for that as may: replay it when the clock is right',
};
