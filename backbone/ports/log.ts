import type { ConnectionState } from '../../core/lifecycle.ts';

/** One entry. Offsets grow, but not always by one: the log keeps entries of its own between those of its users. */
export interface LogEntry {
  readonly offset: number;
  readonly body: Uint8Array;
}

/**
 * Where to begin: at the oldest kept entry, after the newest one, or at the first entry whose offset is at least
 * `offset`. With `epoch`, a log that was started over is noticed (UnknownEpoch). Without it the offset counts as one of
 * the current epoch.
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
  /** After this promise resolves the handler is not called any more. */
  stop(): Promise<void>;
  /** Settles when following ends: resolves after `stop`, rejects with what ended it (Trimmed, UnknownEpoch, or the handler's own error). */
  readonly ended: Promise<void>;
}

export interface LogReading {
  /**
   * Rejects with LogUnavailable when an entry cannot be read at the moment. Otherwise it is left out, as one that is
   * damaged always is: one bad place on a disk must not hold up every reader for ever.
   */
  readonly whole?: boolean;
}

/**
 * An append-only list of entries, numbered by offset. Any number of readers may read it; its oldest entries are trimmed
 * by age and size. Entries are opaque bytes, a few hundred kB at most. The adapter restores a connection that breaks.
 * Followers then go on where they were, and never skip an entry silently.
 */
export interface Log {
  /**
   * Resolves when the entry survives a crash of any process. A log in files has it on disk by then. Of a RabbitMQ stream a
   * majority of the servers has written it, and no server has synced it (docs/rabbitmq.md). Entries are kept in the
   * order in which their appends began. Rejects with LogUnavailable.
   */
  append(body: Uint8Array): Promise<void>;
  /**
   * Up to `limit` entries that are kept now, oldest first; an empty list at the end of the log.
   * Rejects with Trimmed when entries at or after the wanted offset were trimmed, UnknownEpoch, LogUnavailable.
   */
  read(from: LogPosition, limit: number, reading?: LogReading): Promise<LogEntry[]>;
  /**
   * Calls `handler` with every entry from `from` on that can be read, in order, some at a time. The next call begins only after the last
   * one's promise resolved. Resolves when following has begun: with `next`, an entry appended after that is not missed.
   * Rejects as `read` does. When the connection breaks, the follower waits for it and goes on. If the log no longer has
   * the next entry then, `ended` rejects with Trimmed or UnknownEpoch.
   */
  follow(from: LogPosition, handler: (entries: readonly LogEntry[]) => void | Promise<void>): Promise<Follower>;
  /** Rejects with LogUnavailable. */
  head(): Promise<LogHead>;
  readonly state: ConnectionState;
  watch(listener: (state: ConnectionState) => void): () => void;
  /**
   * Stops followers, waits for appends, releases files and connections. May be called twice; any other later use
   * rejects with Closed.
   */
  close(): Promise<void>;
}

export interface LogLimits {
  readonly maxAgeMs: number;
  /** Most bytes kept, approximately: logs are trimmed by whole segments. */
  readonly maxBytes: number;
  /**
   * The log holds the only copy of its entries. A log in files then does not trim by the machine's clock, which may be
   * wrong: the age of an entry is how long the log has been open since. (The server trims a RabbitMQ stream, by the
   * server's clock.)
   */
  readonly onlyCopy?: boolean;
  /**
   * The offset from which on entries are still needed, as by a store that has not taken a checkpoint since: an embedded
   * log keeps them, past `maxAgeMs`, and past `maxBytes` up to MOST_PINNED of it. Undefined while that is not known yet:
   * then everything is needed. (The server trims a RabbitMQ stream, and knows nothing of it.)
   */
  readonly pinned?: () => number | undefined;
}

/** Entries that are needed may take so many times `maxBytes`; beyond it they are trimmed, and who needs them finds a gap. */
export const MOST_PINNED = 1.5;

/** A day of live readings: more than any viewer's reconnect needs. */
export const LIVE_LOG_LIMITS: LogLimits = { maxAgeMs: 24 * 3_600_000, maxBytes: 2 * 1024 ** 3 };
/** Dead letters are kept for a year: each is the only copy of something that was acknowledged. */
export const DEAD_LOG_LIMITS: LogLimits = { maxAgeMs: 365 * 24 * 3_600_000, maxBytes: 4 * 1024 ** 3, onlyCopy: true };
/** Isolated attempts: what a worker had in work, alone, when it died. Needed until the message is done. */
export const ISOLATION_LOG_LIMITS: LogLimits = {
  maxAgeMs: 30 * 24 * 3_600_000,
  maxBytes: 64 * 1024 ** 2,
  onlyCopy: true,
};
/** Commands to sensors: each waits a day at most, and its outcome can be read for two more days. */
export const COMMANDS_LOG_LIMITS: LogLimits = { maxAgeMs: 3 * 24 * 3_600_000, maxBytes: 1024 ** 3, onlyCopy: true };
/** By which clock each run of an entrance was received: a few entries for each start and each setting of the clock, as long as there are dead letters. */
export const CLOCKS_LOG_LIMITS: LogLimits = {
  maxAgeMs: 400 * 24 * 3_600_000,
  maxBytes: 16 * 1024 ** 2,
  onlyCopy: true,
};
/** Sessions of people who signed in: a few entries a session, as long as one can last. */
export const SESSIONS_LOG_LIMITS: LogLimits = {
  maxAgeMs: 31 * 24 * 3_600_000,
  maxBytes: 32 * 1024 ** 2,
  onlyCopy: true,
};
/** Who was refused, apart from the events: strangers can make as many of them as they like. */
export const REFUSALS_LOG_LIMITS: LogLimits = {
  maxAgeMs: 30 * 24 * 3_600_000,
  maxBytes: 256 * 1024 ** 2,
  onlyCopy: true,
};
/**
 * What is known of the sessions at sources: an entry is all of one source, up to 500 kB. Every entry that counts is written anew each hour, so the age
 * only ends those of sources that nobody has connected for so long.
 */
export const SOURCES_LOG_LIMITS: LogLimits = {
  maxAgeMs: 400 * 24 * 3_600_000,
  maxBytes: 128 * 1024 ** 2,
  onlyCopy: true,
};
/** Events, such as a value that was overwritten: kept for a year, for those who ask later what happened. */
export const EVENT_LOG_LIMITS: LogLimits = { maxAgeMs: 365 * 24 * 3_600_000, maxBytes: 1024 ** 3, onlyCopy: true };
