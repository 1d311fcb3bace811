import type { ChannelModel } from 'amqplib';
import { Closed, LogUnavailable, Trimmed, UnknownEpoch } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';
import type { Follower, LogEntry } from '../ports/log.ts';
import type { RabbitConnection } from './link.ts';
import type { Survey } from './log-survey.ts';
import { type RawEntry, Tap } from './log-tap.ts';

const MOST_HARMLESS = 100;

export interface Following {
  readonly link: RabbitConnection;
  readonly stream: string;
  readonly survey: () => Promise<Survey>;
  readonly handler: (entries: readonly LogEntry[]) => void | Promise<void>;
}

/**
 * One reader of a stream, which goes on after its connection was restored.
 *
 * flowing ⇄ waiting for a connection → ended (stopped, the handler's error, Trimmed, UnknownEpoch)
 *
 * It knows the offset that should come next. The server leaves out trimmed entries silently. It also keeps entries of
 * its own (at the start of every segment), which take an offset and are never delivered. So when an offset is missing,
 * the follower looks where the log begins now: trimming takes from the old end only. On a new connection it first makes
 * sure that the stream is still the same one; when an entry carries another epoch, it checks again.
 */
export class RabbitFollower implements Follower {
  readonly ended: Promise<void>;
  private readonly following: Following;
  private readonly unwatch: () => void;
  // Other epochs in entries of this log: of a writer whose epoch was outdated, or undefined for none.
  private readonly harmless = new Set<string | undefined>();
  private expected: number;
  private readonly epoch: string;
  private tap: Tap | undefined;
  private stopping = false;
  private calling: Promise<void> | undefined;
  private over = false;
  private resolve: () => void = () => {};
  private reject: (error: unknown) => void = () => {};

  constructor(following: Following, from: number, epoch: string) {
    this.following = following;
    this.expected = from;
    this.epoch = epoch;
    this.ended = new Promise((resolve, reject) => {
      this.resolve = resolve;
      this.reject = reject;
    });
    // A rejection that nobody awaits must not end the process.
    this.ended.catch(() => {});
    this.unwatch = following.link.watch((state) => this.linkChanged(state));
  }

  /** Begins to read on this connection; resolves when the server has agreed to send entries. */
  async flow(connection: ChannelModel): Promise<void> {
    const tap = await Tap.open(connection, this.following.stream, this.expected);
    if (this.over) return tap.close();
    this.tap = tap;
    void this.pump(connection, tap);
  }

  async stop(): Promise<void> {
    this.stopping = true;
    this.end();
    // If the handler threw, its error has ended the following already.
    await this.calling?.catch(() => {});
    await this.ended.catch(() => {});
  }

  private linkChanged(state: ConnectionState): void {
    if (state.is === 'closed') this.end(new Closed(this.following.stream));
    const { connection } = this.following.link;
    if (state.is !== 'up' || !connection) return;
    this.resume(connection).catch((error: unknown) => this.failed(connection, error));
  }

  private async resume(connection: ChannelModel): Promise<void> {
    await this.checkEpoch();
    await this.flow(connection);
  }

  /** Rejects with UnknownEpoch when the log was started over. `foreign` is what an entry carried instead of our epoch. */
  private async checkEpoch(foreign?: string): Promise<void> {
    const { epoch, next } = await this.following.survey();
    if (epoch !== this.epoch || next < this.expected) throw new UnknownEpoch(epoch);
    if (this.harmless.size >= MOST_HARMLESS) this.harmless.clear();
    this.harmless.add(foreign);
  }

  private async pump(connection: ChannelModel, tap: Tap): Promise<void> {
    try {
      while (!this.over) await this.hand(await tap.next(), tap);
    } catch (error) {
      this.failed(connection, error);
    } finally {
      await tap.close();
    }
  }

  private async hand(raw: readonly RawEntry[], tap: Tap): Promise<void> {
    const entries: LogEntry[] = [];
    let trimmed: Trimmed | undefined;
    for (const { offset, body, epoch, claim } of raw) {
      if (offset < this.expected) continue;
      if (offset > this.expected) trimmed = await this.trimmedAt(this.expected);
      if (trimmed) break;
      this.expected = offset + 1;
      if (claim) continue;
      if (epoch !== this.epoch && !this.harmless.has(epoch)) await this.checkEpoch(epoch);
      entries.push({ offset, body });
    }
    if (entries.length > 0 && !this.over) {
      this.calling = this.call(entries);
      await this.calling;
    }
    if (trimmed) throw trimmed;
    tap.acknowledge();
  }

  private async trimmedAt(offset: number): Promise<Trimmed | undefined> {
    const { oldest, first } = await this.following.survey();
    return oldest > offset ? new Trimmed(first) : undefined;
  }

  private async call(entries: readonly LogEntry[]): Promise<void> {
    try {
      await this.following.handler(entries);
    } catch (error) {
      this.end(error);
    }
  }

  private failed(connection: ChannelModel, error: unknown): void {
    if (error instanceof Trimmed || error instanceof UnknownEpoch) this.end(error);
    else if (!this.over) this.following.link.reset(connection, error instanceof LogUnavailable ? error.cause : error);
  }

  private end(error?: unknown): void {
    if (this.over) return;
    this.over = true;
    this.unwatch();
    void this.tap?.close();
    if (error === undefined || this.stopping) this.resolve();
    else this.reject(error);
  }
}
