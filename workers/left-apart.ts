import type { BatchEntrance } from '../backbone/account/batch-entrance.ts';
import type { Queue } from '../backbone/ports/queue.ts';
import { clock } from '../core/clock.ts';
import { QueueFull } from '../core/errors.ts';
import { type DeadLetter, decodeBatch, encodeBatch } from '../telemetry/batch.ts';
import type { WorkerCounters } from './counters.ts';
import type { OutageGate } from './outage-gate.ts';

export interface LeftApartParts {
  readonly slow: Queue;
  readonly gate: OutageGate;
  /** Numbers what goes to the slow queue. */
  readonly entrance: BatchEntrance;
  readonly counters: WorkerCounters;
  readonly setAside: (letters: readonly DeadLetter[]) => Promise<void>;
}

/** The way of publishes to the slow queue. */
export class LeftApart {
  private readonly parts: LeftApartParts;

  constructor(parts: LeftApartParts) {
    this.parts = parts;
  }

  /**
   * Hands messages to the slow queue. When that is full, their publishes become dead letters: whoever needs no codec must not wait for those who
   * do. Rejects when the worker is stopped in an outage of the slow queue.
   */
  async leave(messages: readonly Uint8Array[]): Promise<void> {
    const { slow, gate, entrance, counters, setAside } = this.parts;
    for (const message of messages) {
      const batch = decodeBatch(message);
      const { publishes } = batch;
      try {
        await entrance.send((place) => {
          const numbered = encodeBatch({ ...batch, place });
          return gate.until(() => slow.publish(numbered).catch(asNoOutage));
        });
        counters.leftApart(publishes);
      } catch (error) {
        if (!(error instanceof SlowQueueFull)) throw error;
        const at = clock.now();
        await setAside(publishes.map((publish) => ({ publish, ...SLOW_QUEUE_FULL, at })));
      }
    }
  }
}

/** No outage: to wait for it would hold up everybody. */
class SlowQueueFull extends Error {}

function asNoOutage(error: unknown): never {
  throw error instanceof QueueFull ? new SlowQueueFull(error.message, { cause: error }) : error;
}

const SLOW_QUEUE_FULL = {
  reason: 'slow_queue_full',
  explanation: 'it needs a codec, or time, and the slow queue is full: replay it when that has emptied',
};
