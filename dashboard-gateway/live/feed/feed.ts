import type { Log, LogEntry } from '../../../backbone/ports/log.ts';
import { EncodingInvalid } from '../../../core/errors.ts';
import type { Logger } from '../../../core/logger.ts';
import { decodeLive, type LiveEntry } from '../../../telemetry/batch.ts';
import type { Reading } from '../../../telemetry/reading.ts';
import { SeenIds } from './seen-ids.ts';
import { Tail } from './tail.ts';

/** How many entries before the head to begin: more than workers can have announced and not yet stored. */
export const TAIL_ENTRIES = 1_000;
const REMEMBERED_IDS = 10_000;

/** Gets the readings of the live log. */
export interface FeedListener {
  /** Following begins; the next entry is after `seq`. Called again when it had to begin anew and entries may be missing. */
  begin(epoch: string, seq: number): void;
  /** The entry at `seq`, which follows the one before; `readings` is empty for a batch that was announced before. */
  entry(seq: number, readings: readonly Reading[]): void;
  /** No more entries for the moment. */
  pause(): void;
}

/** Hears of everything that is written to the store, also of batches that were announced before. */
export interface WritesListener {
  /** Called before following begins, perhaps anew. Never rejects, and holds it up for some seconds at most. */
  prepare?(epoch: string): Promise<void>;
  /** Following begins, perhaps anew: entries may have been missed. `epoch` names the run of offsets. */
  begin(epoch: string): void;
  /** The entry at `offset`; `isNews` is false for a batch that was announced before at another offset. */
  wrote(entry: LiveEntry, offset: number, isNews: boolean): void;
}

/** The live log as readings: follows it, and drops batches that are announced a second time. */
export class LiveFeed extends Tail {
  private readonly log: Logger;
  private readonly seen: SeenIds;
  private unreadable = 0;

  constructor(live: Log, listener: FeedListener, log: Logger, writes?: WritesListener) {
    const seen = new SeenIds(REMEMBERED_IDS);
    let known: string | undefined;
    super({
      log: live,
      name: 'live',
      entries: TAIL_ENTRIES,
      prepare: async (epoch) => {
        await writes?.prepare?.(epoch);
      },
      begin: (epoch, offset) => {
        if (epoch !== known) seen.clear();
        known = epoch;
        writes?.begin(epoch);
        listener.begin(epoch, offset);
      },
      take: (entries) => {
        for (const entry of entries) listener.entry(entry.offset, this.decode(entry, writes));
        listener.pause();
      },
      logger: log,
    });
    this.seen = seen;
    this.log = log;
  }

  /** Entries that could not be read. */
  get undecodable(): number {
    return this.unreadable;
  }

  /** The readings of an entry; none when its batch came before at another offset, or when the entry cannot be decoded. */
  decode({ offset, body }: LogEntry, writes?: WritesListener): readonly Reading[] {
    try {
      const entry = decodeLive(body);
      const isNews = this.seen.isNews(entry.id, offset);
      writes?.wrote(entry, offset, isNews);
      return isNews ? entry.readings : [];
    } catch (error) {
      if (!(error instanceof EncodingInvalid)) throw error;
      // The entry is counted and skipped, since stopping here would stop every viewer for good.
      this.unreadable++;
      if (this.unreadable === 1) this.log.error(`an entry of the live log cannot be read: ${error.message}`);
      return [];
    }
  }
}
