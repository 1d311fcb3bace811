import { randomBytes } from 'node:crypto';
import type { ChannelModel } from 'amqplib';
import { clock } from '../../core/clock.ts';
import { Closed, explain, type LoamError, LogUnavailable, Trimmed, UnknownEpoch } from '../../core/errors.ts';
import { type ConnectionState, Watched } from '../../core/lifecycle.ts';
import { backoff, pause } from '../../core/timing.ts';
import type { Follower, Log, LogEntry, LogHead, LogLimits, LogPosition } from '../ports/log.ts';
import { type Declaration, declare } from './ensure-queue.ts';
import { ANSWER_MS, RabbitConnection, stateOf } from './link.ts';
import { RabbitFollower } from './log-follower.ts';
import { type Survey, survey } from './log-survey.ts';
import { claiming, stamped, Tap } from './log-tap.ts';
import { ConfirmPublisher } from './publisher.ts';

const MIN_SEGMENT = 1_000_000;
const MAX_SEGMENT = 500_000_000;
// A writer asks for the epoch again after this time: the stream may have been deleted and made anew unnoticed.
const BELIEVE_MS = 30_000;

export interface RabbitLogOptions {
  readonly confirmTimeoutMs?: number;
  /** What the stream's name begins with: `loam.` */
  readonly prefix?: string;
  /** How long a stream is left alone, ms, when it had to be made. */
  readonly settleMs?: number;
}

/**
 * Opens the log `name` as the stream `loam.{name}` of the RabbitMQ server at `url`, and makes it if there is none. Its
 * arguments are explained in `docs/rabbitmq.md`. Rejects with LogUnavailable when the server cannot be reached or has
 * something of that name with other arguments.
 *
 * A confirmed entry is in the page cache of a majority of the stream's servers, not on disk: RabbitMQ does not sync
 * streams. It survives a crash of any process, and of any minority of servers; a power cut that takes the majority at
 * once can lose the last moments.
 */
export async function openRabbitLog(
  url: string,
  name: string,
  limits: LogLimits,
  options: RabbitLogOptions = {},
): Promise<Log> {
  const { confirmTimeoutMs = 10_000, prefix = 'loam.', settleMs } = options;
  const stream = `${prefix}${name}`;
  const prepare = (connection: ChannelModel) => declare(connection, streamOf(stream, limits), settleMs);
  let publisher: ConfirmPublisher | undefined;
  let reading: RabbitConnection | undefined;
  try {
    publisher = await ConfirmPublisher.open({
      url,
      name: `${stream} (publishing)`,
      queue: stream,
      prepare,
      confirmTimeoutMs,
      unavailable,
      refused: () => unavailable('the server refused the entry'),
    });
    reading = await RabbitConnection.open(url, `${stream} (reading)`, prepare);
    const log = new RabbitLog(stream, publisher, reading);
    await log.learn();
    return log;
  } catch (cause) {
    await publisher?.close();
    await reading?.close();
    throw unavailable(explain(cause), cause);
  }
}

/**
 * The state is up when both connections are and the epoch is known: `append` needs the epoch, because every entry
 * carries it. After every break the epoch is read again, since the stream may be another one by then.
 */
class RabbitLog implements Log {
  private readonly stream: string;
  private readonly publisher: ConfirmPublisher;
  private readonly reading: RabbitConnection;
  private readonly watched = new Watched();
  private readonly followers = new Set<RabbitFollower>();
  private readonly closing = new AbortController();
  private epoch: string | undefined;
  private learned = Number.NEGATIVE_INFINITY;
  private learning = false;
  private surveying: Promise<Survey> | undefined;
  private nextSurvey: Promise<Survey> | undefined;
  private closed: Promise<void> | undefined;

  constructor(stream: string, publisher: ConfirmPublisher, reading: RabbitConnection) {
    this.stream = stream;
    this.publisher = publisher;
    this.reading = reading;
    for (const link of [publisher.link, reading]) link.watch(() => this.linksChanged());
  }

  get state(): ConnectionState {
    return this.watched.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.watched.watch(listener);
  }

  async append(body: Uint8Array): Promise<void> {
    if (this.closed !== undefined) throw new Closed(this.stream);
    if (this.epoch === undefined) throw unavailable(why(this.state));
    if (clock.passed() - this.learned > BELIEVE_MS) void this.learnAgain();
    await this.publisher.publish(body, stamped(this.epoch));
  }

  async head(): Promise<LogHead> {
    const { epoch, first, next } = await this.survey();
    return { epoch, first, next };
  }

  async read(from: LogPosition, limit: number): Promise<LogEntry[]> {
    const { begin, next } = await this.locate(from);
    if (begin >= next || limit <= 0) return [];
    const tap = await this.attempt((connection) => Tap.open(connection, this.stream, begin));
    try {
      return await this.attempt(() => this.entriesBetween(tap, begin, next, limit));
    } finally {
      await tap.close();
    }
  }

  async follow(from: LogPosition, handler: (entries: readonly LogEntry[]) => void | Promise<void>): Promise<Follower> {
    const { begin, epoch } = await this.locate(from);
    const { stream, reading: link } = this;
    const follower = new RabbitFollower({ link, stream, survey: () => this.survey(), handler }, begin, epoch);
    try {
      await this.attempt((connection) => follower.flow(connection));
    } catch (error) {
      await follower.stop();
      throw error;
    }
    this.followers.add(follower);
    const forget = () => this.followers.delete(follower);
    follower.ended.then(forget, forget);
    return follower;
  }

  close(): Promise<void> {
    this.closed ??= this.end();
    return this.closed;
  }

  private async end(): Promise<void> {
    this.closing.abort();
    await Promise.all([...this.followers].map((follower) => follower.stop()));
    await this.publisher.close();
    await this.reading.close();
  }

  /** Where `from` is, as an offset of the stream. Rejects with Trimmed or UnknownEpoch. */
  private async locate(from: LogPosition): Promise<{ begin: number; next: number; epoch: string }> {
    let now = await this.survey();
    const { epoch } = now;
    if (from === 'first') return { begin: now.first, next: now.next, epoch };
    if (from === 'next') return { begin: now.next, next: now.next, epoch };
    if (from.epoch !== undefined && from.epoch !== epoch) throw new UnknownEpoch(epoch);
    // With several servers, the replica that we read from may be a moment behind the one that the offset is from.
    for (let attemptsLeft = 5; from.offset > now.next && attemptsLeft > 0; attemptsLeft--) {
      await pause(100, this.closing.signal);
      now = await this.survey();
    }
    if (from.offset > now.next || now.epoch !== epoch) throw new UnknownEpoch(now.epoch);
    if (from.offset < now.oldest) throw new Trimmed(now.first);
    return { begin: from.offset, next: now.next, epoch };
  }

  /**
   * The users' entries from `begin` up to `next`, at most `limit`. Rejects with Trimmed when the first ones are gone by
   * now.
   */
  private async entriesBetween(tap: Tap, begin: number, next: number, limit: number): Promise<LogEntry[]> {
    const found: LogEntry[] = [];
    for (let expected = begin; expected < next && found.length < limit; ) {
      const arrived = await tap.next(ANSWER_MS);
      if (arrived.length === 0) throw new Error('the server sent no entries');
      tap.acknowledge();
      for (const { offset, body, claim } of arrived) {
        if (offset < expected) continue;
        // A missing offset is an entry of the server's own, unless trimming has come this far.
        if (offset > expected) await this.stillKeeps(expected);
        expected = offset + 1;
        if (!claim && offset < next && found.length < limit) found.push({ offset, body });
      }
    }
    return found;
  }

  private async stillKeeps(offset: number): Promise<void> {
    const { oldest, first } = await this.survey();
    if (oldest > offset) throw new Trimmed(first);
  }

  /** One survey at a time. Calls during a survey share the next one, so that it begins after they were made. */
  private survey(): Promise<Survey> {
    if (!this.surveying) {
      this.surveying = this.surveyNow().finally(() => {
        this.surveying = undefined;
      });
      return this.surveying;
    }
    const again = () => {
      this.nextSurvey = undefined;
      return this.survey();
    };
    this.nextSurvey ??= this.surveying.then(again, again);
    return this.nextSurvey;
  }

  private async surveyNow(): Promise<Survey> {
    const found = await this.attempt((connection) => survey(connection, this.stream, () => this.claim()));
    this.epoch = found.epoch;
    this.learned = clock.passed();
    return found;
  }

  private claim(): Promise<void> {
    return this.publisher.publish(Buffer.alloc(0), claiming(randomBytes(9).toString('base64url')));
  }

  /** Runs `work` on the reading connection; rejects with LogUnavailable whatever goes wrong. */
  private async attempt<T>(work: (connection: ChannelModel) => Promise<T>): Promise<T> {
    if (this.closed !== undefined) throw new Closed(this.stream);
    const { connection } = this.reading;
    if (!connection) throw unavailable(why(this.reading.state));
    try {
      return await work(connection);
    } catch (error) {
      if (this.closed !== undefined) throw new Closed(this.stream);
      if (error instanceof Trimmed || error instanceof LogUnavailable) throw error;
      throw unavailable(explain(error), error);
    }
  }

  /** Resolves when the epoch is known. */
  async learn(): Promise<void> {
    await this.survey();
    this.linksChanged();
  }

  private async learnAgain(): Promise<void> {
    if (this.learning) return;
    this.learning = true;
    for (let attempt = 0; !this.closing.signal.aborted; attempt++) {
      try {
        await this.learn();
        break;
      } catch (error) {
        // If the epoch is unknown, this error keeps the log from being up, so the state tells it.
        if (this.epoch === undefined) this.watched.set({ is: 'down', since: clock.now(), why: explain(error) });
        await pause(backoff(attempt, 50, 5_000), this.closing.signal);
      }
    }
    this.learning = false;
  }

  private linksChanged(): void {
    const state = stateOf([this.publisher.link, this.reading]);
    if (state.is === 'down') this.epoch = undefined;
    if (state.is !== 'up' || this.epoch !== undefined) this.watched.set(state);
    else void this.learnAgain();
  }
}

/** The arguments of the stream. Each is explained in `docs/rabbitmq.md`. */
function streamOf(name: string, limits: LogLimits): Declaration {
  const segment = Math.min(Math.max(Math.floor(limits.maxBytes / 20), MIN_SEGMENT), MAX_SEGMENT);
  return {
    name,
    arguments: {
      'x-queue-type': 'stream',
      'x-max-length-bytes': limits.maxBytes,
      'x-max-age': `${Math.max(1, Math.ceil(limits.maxAgeMs / 1_000))}s`,
      'x-stream-max-segment-size-bytes': segment,
    },
  };
}

function unavailable(reason: string, cause?: unknown): LoamError {
  return new LogUnavailable(`the log is not available: ${reason}`, { cause });
}

function why(state: ConnectionState): string {
  return state.is === 'down' ? state.why : 'not connected yet';
}
