import type { ConnectionState } from '../../core/lifecycle.ts';

/** One message handed to a consumer. `attempt` is 1 at its first delivery and grows with every redelivery. */
export interface Delivery {
  readonly body: Uint8Array;
  readonly attempt: number;
}

/**
 * Does the work of one message. Its promise **is** the acknowledgement: resolved, the message is gone for good;
 * rejected, it is delivered again, to anyone, with a higher `attempt`, after a short pause.
 * It may take as long as it has to: an outage of the store is waited out in here.
 */
export type Handler = (delivery: Delivery) => Promise<void>;

export interface Consumer {
  /** Takes no more messages, waits for the handlers at work, and gives back what was prefetched and not begun. */
  stop(): Promise<void>;
  /**
   * For a consumer that stands still: gives back what it holds, for others to take, and has messages delivered anew.
   * Handlers at work keep their places until they end; their acknowledgements count no more. In a queue of one process there are
   * no others and nothing to give back: there it does nothing.
   */
  restart(): void;
}

/**
 * At-least-once work between the broker and the workers. Messages are opaque bytes, a few hundred kB at most.
 * A connection that breaks is restored by the adapter, consumers included; what was not acknowledged is delivered again.
 */
export interface Queue {
  /**
   * Resolves when the message is on disk where a crash of any process cannot lose it. Called from many places at once;
   * publishes begun one after another are queued in that order.
   * Rejects with QueueFull (nothing was kept) or QueueUnavailable (unknown: publish again), never later than the confirm time limit.
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
  /** Drains, then lets go of files and connections. Closing twice is allowed; any other use after it rejects with Closed. */
  close(): Promise<void>;
}

export interface QueueLimits {
  /** Most messages kept. At the limit `publish` rejects with QueueFull until some were worked off. */
  readonly maxMessages: number;
  /** Most bytes kept, counted as the bodies' lengths. */
  readonly maxBytes: number;
}

export const DEFAULT_QUEUE_LIMITS: QueueLimits = { maxMessages: 200_000, maxBytes: 8 * 1024 ** 3 };
