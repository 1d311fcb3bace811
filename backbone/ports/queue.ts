import type { ConnectionState } from '../../core/lifecycle.ts';

/** One message handed to a consumer. `attempt` is 1 at its first delivery and grows with every redelivery. */
export interface Delivery {
  readonly body: Uint8Array;
  readonly attempt: number;
}

/**
 * Does the work of one message. Its promise **is** the acknowledgement. When it resolves, the message is removed for
 * good. When it rejects, the message is delivered again after a short pause, to any consumer, with a higher `attempt`.
 * A handler may take as long as it needs: it waits out an outage of the store before it settles.
 */
export type Handler = (delivery: Delivery) => Promise<void>;

export interface Consumer {
  /** Takes no more messages, waits for the handlers at work, and gives back what was prefetched and not begun. */
  stop(): Promise<void>;
  /**
   * For a consumer that stands still: gives its unacknowledged messages back to the queue, for any consumer, and
   * consumes anew. Handlers at work keep their places in the prefetch until they end, but their acknowledgements no
   * longer count. A queue in files has the consumers of one process only, so there nothing is given back.
   */
  restart(): void;
  /** The messages that have come and whose handlers have not begun: they are in the queue for nobody else. */
  waiting(): Iterable<Uint8Array>;
}

/**
 * At-least-once work between the broker and the workers. Messages are opaque bytes, a few hundred kB at most.
 * A connection that breaks is restored by the adapter, consumers included; what was not acknowledged is delivered again.
 */
export interface Queue {
  /**
   * Resolves when the message is on disk, where a crash of any process cannot lose it. May be called again before
   * earlier calls have settled; messages are queued in the order in which their publishes began. Rejects with QueueFull
   * (nothing was kept) or QueueUnavailable (whether it was kept is unknown: publish again), never later than the
   * confirm time limit.
   */
  publish(body: Uint8Array): Promise<void>;
  /**
   * Runs `handler` for up to `prefetch` messages at once. First deliveries to a single consumer come in order.
   * Resolves when the consumer is registered; rejects with QueueUnavailable when it could not be.
   */
  consume(handler: Handler, options: { readonly prefetch: number }): Promise<Consumer>;
  /** How many messages wait or are being worked on. Rejects with QueueUnavailable. */
  depth(): Promise<number>;
  /** Stops every consumer (as `Consumer.stop`) and resolves when all publishes under way are settled. */
  drain(): Promise<void>;
  readonly state: ConnectionState;
  watch(listener: (state: ConnectionState) => void): () => void;
  /** Drains, then releases files and connections. Closing twice is allowed; any other use after it rejects with Closed. */
  close(): Promise<void>;
}

export interface QueueLimits {
  /** Most messages kept. At the limit `publish` rejects with QueueFull until some were worked off. */
  readonly maxMessages: number;
  /** Most bytes kept, counted as the bodies' lengths. */
  readonly maxBytes: number;
}

export const DEFAULT_QUEUE_LIMITS: QueueLimits = { maxMessages: 200_000, maxBytes: 8 * 1024 ** 3 };
