import { explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { pause } from '../../core/timing.ts';
import type { Follower, Log, LogEntry } from './log.ts';

/** Offsets to look back at the start: some seconds' work, and about as many letters as a sensor's quota has room for. */
const LOOK_BACK = 100_000;
/** How far back the newest entry is looked for: the log keeps entries of its own between letters. */
const NEWEST_WITHIN = 200;
const RETRY_MS = 1_000;
/** Longest time that `start` waits until earlier letters were read. */
const MOST_WAIT_MS = 10_000;

/** Reads the newer part of a log, such as that of dead letters, and follows it. After an error it goes on from the last offset. */
export class RecentFollower {
  private readonly log: Log;
  private readonly logger: Logger;
  private readonly take: (entry: LogEntry) => void;
  private readonly stopping = new AbortController();
  private follower: Follower | undefined;
  private running: Promise<void> = Promise.resolve();
  private at: { readonly epoch: string; offset: number } | undefined;

  constructor(log: Log, logger: Logger, take: (entry: LogEntry) => void) {
    this.log = log;
    this.logger = logger;
    this.take = take;
  }

  /** Resolves when everything was read that is there now, or after ten seconds: then it goes on in the background. */
  async start(): Promise<void> {
    const caughtUp = new AbortController();
    this.running = this.run(() => caughtUp.abort());
    await pause(MOST_WAIT_MS, AbortSignal.any([caughtUp.signal, this.stopping.signal]));
  }

  /** Nothing is taken after it resolves. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.follower?.stop();
    await this.running;
  }

  private async run(caughtUp: () => void): Promise<void> {
    const { signal } = this.stopping;
    let said: string | undefined;
    while (!signal.aborted) {
      try {
        this.follower = await this.follow(caughtUp);
        if (signal.aborted) await this.follower.stop();
        await this.follower.ended;
      } catch (error) {
        const why = explain(error);
        if (why !== said) this.logger.debug({ why }, 'the log cannot be followed');
        said = why;
        await pause(RETRY_MS, signal);
      }
    }
  }

  private async follow(caughtUp: () => void): Promise<Follower> {
    const { epoch, first, next } = await this.log.head();
    const before = this.at?.epoch === epoch ? this.at.offset : next - LOOK_BACK;
    const at = { epoch, offset: Math.max(first, before) };
    this.at = at;
    const newest = await newestOffset(this.log);
    if (newest < at.offset) caughtUp();
    return this.log.follow({ ...at }, (entries) => {
      for (const entry of entries) {
        this.take(entry);
        at.offset = entry.offset + 1;
      }
      if (newest < at.offset) caughtUp();
    });
  }
}

/** The offset of the newest entry; -1 when there is none. Rejects with LogUnavailable. */
export async function newestOffset(log: Log): Promise<number> {
  const { epoch, first, next } = await log.head();
  const offset = Math.max(first, next - NEWEST_WITHIN);
  const entries = await log.read({ offset, epoch }, NEWEST_WITHIN);
  return entries.at(-1)?.offset ?? -1;
}
