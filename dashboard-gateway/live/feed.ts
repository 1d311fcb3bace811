import type { Follower, Log, LogEntry } from '../../backbone/log/port.ts';
import { EncodingInvalid, explain } from '../../core/errors.ts';
import { type Health, healthOf, pause } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import { decodeLive } from '../../telemetry/batch.ts';
import type { Reading } from '../../telemetry/reading.ts';
import { SeenIds } from './seen-ids.ts';

/** How far behind the head to begin: more than workers can have announced and not yet stored. */
const TAIL_ENTRIES = 200;
const REMEMBERED_IDS = 10_000;
const RETRY_MS = 1_000;

/** Who gets what the live log says. */
export interface FeedListener {
  /** Following begins; the next entry is after `seq`. Called again when it had to begin anew and entries may be missing. */
  begin(epoch: string, seq: number): void;
  /** The entry at `seq`, which follows the one before; `readings` is empty for a batch that was announced before. */
  entry(seq: number, readings: readonly Reading[]): void;
  /** No more entries for the moment. */
  pause(): void;
}

/**
 * Follows the live log from a little before its head. When following ends (the log was trimmed past us, or started over, or cannot be reached),
 * it begins anew and says so to the listener.
 */
export class LiveFeed {
  private readonly live: Log;
  private readonly listener: FeedListener;
  private readonly log: Logger;
  private readonly seen = new SeenIds(REMEMBERED_IDS);
  private readonly stopping = new AbortController();
  private follower: Follower | undefined;
  private running: Promise<void> | undefined;
  private down: string | undefined = 'not following yet';
  private undecodable = 0;

  constructor(live: Log, listener: FeedListener, log: Logger) {
    this.live = live;
    this.listener = listener;
    this.log = log;
  }

  /** Resolves after the first try to follow, whether or not it succeeded: further tries are made until one does. */
  async start(): Promise<void> {
    await new Promise<void>((tried) => {
      this.running = this.run(tried);
    });
  }

  /** Nothing is handed to the listener after it resolves. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.follower?.stop();
    await this.running;
  }

  /** Whether the log can be reached, and whether it is being followed. */
  health(): Health[] {
    const feed = { name: 'live feed', ok: this.down === undefined };
    return [healthOf('live log', this.live.state), this.down === undefined ? feed : { ...feed, why: this.down }];
  }

  private async run(tried: () => void): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        const follower = await this.follow();
        tried();
        await follower.ended;
      } catch (error) {
        this.down = explain(error);
        this.log.warn({ why: this.down }, 'following the live log ended, beginning anew');
        tried();
        await pause(RETRY_MS, this.stopping.signal);
      }
    }
  }

  private async follow(): Promise<Follower> {
    const { epoch, first, next } = await this.live.head();
    const from = Math.max(first, next - TAIL_ENTRIES);
    // Before following: the handler may be called before `follow` resolves.
    this.listener.begin(epoch, from - 1);
    this.follower = await this.live.follow({ offset: from, epoch }, (entries) => this.take(entries));
    this.down = undefined;
    if (this.stopping.signal.aborted) await this.follower.stop();
    return this.follower;
  }

  private take(entries: readonly LogEntry[]): void {
    for (const { offset, body } of entries) this.listener.entry(offset, this.readingsOf(body));
    this.listener.pause();
  }

  private readingsOf(body: Uint8Array): readonly Reading[] {
    try {
      const { id, readings } = decodeLive(body);
      return this.seen.add(id) ? readings : [];
    } catch (error) {
      if (!(error instanceof EncodingInvalid)) throw error;
      // Nobody can ever read it: it is counted and passed by, since stopping here would stop every viewer for good.
      this.undecodable++;
      if (this.undecodable === 1) this.log.error(`an entry of the live log cannot be read: ${error.message}`);
      return [];
    }
  }
}
