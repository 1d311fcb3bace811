import { messageOf } from './system-error.ts';
import { withoutSecrets } from './without-secrets.ts';

/**
 * Every error that one part of Loam tells another about. `docs/errors.md` lists each code; a test keeps that list complete.
 *
 * `advice` is what the caller should do, so that nobody has to read the wording to decide:
 * - `wait`      the other side is away or full: hold the work, try again later, lose nothing
 * - `restart`   start over from what the error carries (a new offset, a snapshot)
 * - `set-aside` trying again cannot help: keep the input as a dead letter and go on
 * - `tell-user` a person must change something
 * - `fix-code`  the caller broke the contract
 */
export type Advice = 'wait' | 'restart' | 'set-aside' | 'tell-user' | 'fix-code';

export abstract class LoamError extends Error {
  abstract readonly code: string;
  abstract readonly advice: Advice;

  constructor(message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** A setting has a wrong value. `setting` is its variable, the message says what was given and what is allowed. */
export class ConfigInvalid extends LoamError {
  readonly code = 'CONFIG_INVALID';
  readonly advice = 'tell-user';
  readonly setting: string;

  constructor(setting: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.setting = setting;
  }
}

/** A thing of the registry, and the place in it. */
export interface RegistryPlace {
  readonly kind: string;
  readonly id: string;
  readonly path: readonly PropertyKey[];
}

/** Where in the registry something is wrong, as far as it is known: the file, the line in it (from 1), the thing. */
export interface RegistryWhere {
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly place: RegistryPlace | undefined;
}

/** The registry cannot be read or breaks its schema, or an edit would break it. */
export class RegistryInvalid extends LoamError {
  readonly code = 'REGISTRY_INVALID';
  readonly advice = 'tell-user';
  readonly file: string | undefined;
  readonly line: number | undefined;
  readonly place: RegistryPlace | undefined;

  constructor(message: string, options?: { cause?: unknown } & Partial<RegistryWhere>) {
    super(message, options);
    this.file = options?.file;
    this.line = options?.line;
    this.place = options?.place;
  }
}

/** A thing that an edit saw as another than it is now. A version is null when there is no such thing. */
export interface EditConflict {
  readonly kind: string;
  readonly id: string;
  readonly seen: string | null;
  readonly now: string | null;
}

/** Somebody else changed what an edit is about. Nothing was changed: look at the present things, and edit those. */
export class RegistryConflict extends LoamError {
  readonly code = 'REGISTRY_CONFLICT';
  readonly advice = 'restart';
  readonly conflicts: readonly EditConflict[];

  constructor(conflicts: readonly EditConflict[]) {
    const names = Array.from(conflicts)
      .slice(0, 5)
      .map(({ kind, id, now }) => `${kind} ${id} ${now === null ? 'is gone' : 'is another'}`);
    super(`changed meanwhile: ${names.join(', ')}${conflicts.length > 5 ? ' and others' : ''}`);
    this.conflicts = conflicts;
  }
}

/**
 * The registry cannot be edited now: its server cannot be reached, or its file cannot be written. Whether the edit was
 * kept is unknown, unless it names the versions that it saw: then it is safe to make it again.
 */
export class RegistryUnavailable extends LoamError {
  readonly code = 'REGISTRY_UNAVAILABLE';
  readonly advice = 'wait';
}

/** What is sealed in the registry cannot be opened: its key is not among those of LOAM_SECRET_KEY, or it was sealed for another place. */
export class SecretUnopened extends LoamError {
  readonly code = 'SECRET_UNOPENED';
  readonly advice = 'tell-user';
}

/** The queue is at its limit. Nothing was kept: do not acknowledge, try again when there is room. */
export class QueueFull extends LoamError {
  readonly code = 'QUEUE_FULL';
  readonly advice = 'wait';
}

/** The queue cannot be reached or did not confirm in time. Whether it kept the message is unknown: do not acknowledge. */
export class QueueUnavailable extends LoamError {
  readonly code = 'QUEUE_UNAVAILABLE';
  readonly advice = 'wait';
}

/** The log cannot be reached or did not confirm in time. Whether it kept the entry is unknown: append it again. */
export class LogUnavailable extends LoamError {
  readonly code = 'LOG_UNAVAILABLE';
  readonly advice = 'wait';
}

/** The wanted offset is older than the log reaches back. `first` is the oldest offset that can still be read. */
export class Trimmed extends LoamError {
  readonly code = 'TRIMMED';
  readonly advice = 'restart';
  readonly first: number;

  constructor(first: number) {
    super(`the log was trimmed: it now begins at offset ${first}`);
    this.first = first;
  }
}

/** The log was started over since the reader last saw it, so its old offsets mean nothing. `epoch` is the current one. */
export class UnknownEpoch extends LoamError {
  readonly code = 'UNKNOWN_EPOCH';
  readonly advice = 'restart';
  readonly epoch: string;

  constructor(epoch: string) {
    super(`the log was started over: its epoch is now ${epoch}`);
    this.epoch = epoch;
  }
}

/** The store cannot be reached, or refuses for a reason other than the readings. Hold them and write again. */
export class StoreUnavailable extends LoamError {
  readonly code = 'STORE_UNAVAILABLE';
  readonly advice = 'wait';
  /** How long the store asks not to be called, when it says so. */
  readonly retryAfterMs: number | undefined;

  constructor(message: string, options?: { cause?: unknown; retryAfterMs?: number | undefined }) {
    super(message, options);
    this.retryAfterMs = options?.retryAfterMs;
  }
}

/** The store, or a proxy before it, takes no request of this size. Hold the readings and write fewer at once. */
export class WriteTooLarge extends LoamError {
  readonly code = 'WRITE_TOO_LARGE';
  readonly advice = 'wait';
}

/**
 * The store works, and answers to these readings with a failure that does not say whose fault it is. Write them again
 * later, and what is still refused then, alone: it goes on with others meanwhile.
 */
export class WriteRefused extends LoamError {
  readonly code = 'WRITE_REFUSED';
  readonly advice = 'wait';
}

/** Why a store will never keep a reading, as a word for its dead letter. */
export type RejectionReason = 'store_rejected' | 'beyond_retention';

/** The store refuses some of these readings themselves and always will; others may have been kept. */
export class StoreRejected extends LoamError {
  readonly code = 'STORE_REJECTED';
  readonly advice = 'set-aside';
  /** Indexes of the written readings, when the store tells: all refused ones are among them. */
  readonly suspects: readonly number[] | undefined;
  /** Whether every suspect is refused, so that nobody needs to try them one by one. */
  readonly certain: boolean;
  readonly reason: RejectionReason;

  constructor(
    message: string,
    options?: {
      cause?: unknown;
      suspects?: readonly number[] | undefined;
      certain?: boolean;
      reason?: RejectionReason;
    },
  ) {
    super(message, options);
    this.suspects = options?.suspects;
    this.certain = options?.certain ?? false;
    this.reason = options?.reason ?? 'store_rejected';
  }
}

/** An MQTT broker that a simulator is to publish to cannot be reached. */
export class BrokerUnreachable extends LoamError {
  readonly code = 'BROKER_UNREACHABLE';
  readonly advice = 'tell-user';
}

/** An MQTT broker refuses a simulator's client id, user name or secret. */
export class CredentialsRefused extends LoamError {
  readonly code = 'CREDENTIALS_REFUSED';
  readonly advice = 'tell-user';
}

/** The limit of waiting commands is reached, for one sensor or in all. The command was not kept. */
export class TooManyCommands extends LoamError {
  readonly code = 'TOO_MANY_COMMANDS';
  readonly advice = 'tell-user';
}

/** A payload is not one that Loam understands. `reason` is a stable word for counting, `path` names the place in it. */
export class PayloadInvalid extends LoamError {
  readonly code = 'PAYLOAD_INVALID';
  readonly advice = 'set-aside';
  readonly reason: string;
  readonly path: string;

  constructor(reason: string, path: string, message: string, options?: { cause?: unknown }) {
    super(message, options);
    this.reason = reason;
    this.path = path;
  }
}

/** Bytes from a queue or a log are not what this version writes there. */
export class EncodingInvalid extends LoamError {
  readonly code = 'ENCODING_INVALID';
  readonly advice = 'set-aside';
}

/** A message of the queue is of a newer version of Loam, which will understand it: it goes back to the queue. */
export class EncodingNewer extends LoamError {
  readonly code = 'ENCODING_NEWER';
  readonly advice = 'wait';
}

/**
 * A running Loam answered a request of the `loam` program with a problem (RFC 9457). `status` is HTTP's, `problem` its
 * stable word, such as `not-found`.
 */
export class ApiRefused extends LoamError {
  readonly code = 'API_REFUSED';
  readonly advice = 'tell-user';
  readonly status: number;
  readonly problem: string;

  constructor(message: string, options: { status: number; problem: string; cause?: unknown }) {
    super(message, options);
    this.status = options.status;
    this.problem = options.problem;
  }
}

/** A part was used after it was closed. */
export class Closed extends LoamError {
  readonly code = 'CLOSED';
  readonly advice = 'fix-code';

  constructor(what: string) {
    super(`${what} is closed`);
  }
}

/**
 * The text of anything thrown, with its causes, on one line. What others wrote may name a URL as it was given to them, with
 * its password: that is hidden. Errors of Loam itself are as they were written.
 */
export function explain(error: unknown): string {
  if (!(error instanceof Error)) return withoutSecrets(String(error));
  const own = error instanceof LoamError ? messageOf(error) : withoutSecrets(messageOf(error));
  const cause = error.cause === undefined ? '' : explain(error.cause);
  const text = cause && !own.includes(cause) ? `${own}: ${cause}` : own;
  // A pattern with white space on both sides of the line feed would take quadratic time on a long run of it.
  return text.replace(/\s+/g, (space) => (space.includes('\n') ? ' ' : space));
}
