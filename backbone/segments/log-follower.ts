import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Follower, LogEntry } from '../ports/log.ts';

/** Most entries given to a handler at once, and about how many bytes. */
const MOST_ENTRIES = 256;
const MOST_BYTES = 2 ** 20;

/** What a follower needs of its log. */
export interface Followed {
  /** Entries from `offset` on, none at the end of the log; throws Trimmed. */
  slice(offset: number, mostEntries: number, mostBytes: number): LogEntry[];
  /** Resolves when the log may have entries that it did not have at the call. */
  grown(): Promise<void>;
}

type EntryHandler = (entries: readonly LogEntry[]) => void | Promise<void>;

/** Reads a log from an offset on, for one handler: reads, hands over, waits for the handler, reads on; at the end waits for more. */
export class FileFollower implements Follower {
  readonly ended: Promise<void>;
  private readonly log: Followed;
  private readonly handler: EntryHandler;
  private offset: number;
  private stopping = false;
  private wake = () => {};
  private readonly stopped: Promise<void>;

  constructor(log: Followed, offset: number, handler: EntryHandler) {
    this.log = log;
    this.offset = offset;
    this.handler = handler;
    this.stopped = new Promise((resolve) => {
      this.wake = resolve;
    });
    this.ended = this.run();
    // An error must not end the process when nobody awaits `ended`. A later await still gets the error.
    this.ended.catch(() => {});
  }

  async stop(): Promise<void> {
    this.stopping = true;
    this.wake();
    await this.ended.catch(() => {});
  }

  private async run(): Promise<void> {
    // The caller of `follow` must have this follower before the handler is called.
    await nextTurn();
    while (!this.stopping) {
      const entries = this.log.slice(this.offset, MOST_ENTRIES, MOST_BYTES);
      const last = entries.at(-1);
      if (last === undefined) {
        await Promise.race([this.log.grown(), this.stopped]);
        continue;
      }
      this.offset = last.offset + 1;
      await this.handler(entries);
      // A follower far behind the end, whose handler never waits, would otherwise block the event loop.
      await nextTurn();
    }
  }
}
