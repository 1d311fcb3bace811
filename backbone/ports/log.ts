import type { ConnectionState } from '../../core/lifecycle.ts';

/** One entry. Offsets grow, but not always by one: the log keeps entries of its own between those of its users. */
export interface LogEntry {
  readonly offset: number;
  readonly body: Uint8Array;
}

/**
 * Where to begin: at the oldest kept entry, after the newest one, or at the first entry whose offset is at least `offset`.
 * With `epoch`, the reader also says which log it means; without it the current one is taken on trust.
 */
export type LogPosition = 'first' | 'next' | { readonly offset: number; readonly epoch?: string };

export interface LogHead {
  /** Names this run of offsets. It changes only when offsets start over. */
  readonly epoch: string;
  /** The oldest offset that can still be read; equal to `next` when the log is empty. */
  readonly first: number;
  /** An offset greater than every entry's so far: an entry appended from now on has this offset or a higher one. */
  readonly next: number;
}

export interface Follower {
  /** No handler is called after it resolves. */
  stop(): Promise<void>;
  /** Settles when following ends: resolves after `stop`, rejects with what ended it (Trimmed, UnknownEpoch, or the handler's own error). */
  readonly ended: Promise<void>;
}

/**
 * An append-only log, numbered by offset, read by as many as like, trimmed from its old end by age and size.
 * Entries are opaque bytes, a few hundred kB at most. A connection that breaks is restored by the adapter; followers go on where they were,
 * and never skip an entry silently.
 */
export interface Log {
  /**
   * Resolves when the entry outlives the death of any process. LMDB has it on disk by then; a RabbitMQ stream has it written by a majority
   * of its servers and synced by none (docs/rabbitmq.md). Appends begun one after another are kept in that order. Rejects with LogUnavailable.
   */
  append(body: Uint8Array): Promise<void>;
  /**
   * Up to `limit` entries that are kept now, oldest first; an empty list at the end of the log.
   * Rejects with Trimmed when entries at or after the wanted offset were trimmed, UnknownEpoch, LogUnavailable.
   */
  read(from: LogPosition, limit: number): Promise<LogEntry[]>;
  /**
   * Calls `handler` with every entry from `from` on, in order, some at a time, the next call only after the last one's promise resolved.
   * Resolves when following has begun (from `next`: an entry appended after that is not missed). Rejects as `read` does.
   * A break of the connection is waited out; when afterwards the log does not reach back, `ended` rejects with Trimmed or UnknownEpoch.
   */
  follow(from: LogPosition, handler: (entries: readonly LogEntry[]) => void | Promise<void>): Promise<Follower>;
  /** Rejects with LogUnavailable. */
  head(): Promise<LogHead>;
  readonly state: ConnectionState;
  watch(listener: (state: ConnectionState) => void): () => void;
  /** Stops followers, waits for appends under way, lets go of files and connections. Closing twice is allowed; any other use after it rejects with Closed. */
  close(): Promise<void>;
}

export interface LogLimits {
  readonly maxAgeMs: number;
  /** Most bytes kept, about: trimming goes by segments. */
  readonly maxBytes: number;
  /**
   * It holds the only copy of what is in it. An LMDB log then removes nothing because of what the machine's clock says: an entry's age is how long
   * the log has been open since. (A RabbitMQ stream is trimmed by the server, by its clock.)
   */
  readonly onlyCopy?: boolean;
}

/** A day of live readings: more than any viewer's reconnect needs. */
export const LIVE_LOG_LIMITS: LogLimits = { maxAgeMs: 24 * 3_600_000, maxBytes: 2 * 1024 ** 3 };
/** Dead letters are the only copy of something acknowledged: kept a year. */
export const DEAD_LOG_LIMITS: LogLimits = { maxAgeMs: 365 * 24 * 3_600_000, maxBytes: 4 * 1024 ** 3, onlyCopy: true };
/** Who was at work when a worker died: needed until the message is done. */
export const TRIALS_LOG_LIMITS: LogLimits = { maxAgeMs: 30 * 24 * 3_600_000, maxBytes: 64 * 1024 ** 2, onlyCopy: true };
/** Commands to sensors: each waits a day at most, and what became of it can be read for two more. */
export const COMMANDS_LOG_LIMITS: LogLimits = { maxAgeMs: 3 * 24 * 3_600_000, maxBytes: 1024 ** 3, onlyCopy: true };
