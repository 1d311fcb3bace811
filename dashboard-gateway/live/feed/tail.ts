import type { Follower, Log, LogEntry } from '../../../backbone/ports/log.ts';
import { explain } from '../../../core/errors.ts';
import { type Health, healthOf } from '../../../core/lifecycle.ts';
import type { Logger } from '../../../core/logger.ts';
import { pause } from '../../../core/timing.ts';

const RETRY_MS = 1_000;

export interface TailOptions {
  readonly log: Log;
  /** The log's name in health and messages, such as `live`. */
  readonly name: string;
  /** How many offsets before the head to begin. */
  readonly entries: number;
  /** What has to be known before following begins. Never rejects, and holds it up for some seconds at most. */
  readonly prepare?: (epoch: string) => Promise<void>;
  /** Following begins; the next entry is after `offset`. Called again when it had to begin anew and entries may be missing. */
  readonly begin: (epoch: string, offset: number) => void;
  readonly take: (entries: readonly LogEntry[]) => void;
  readonly logger: Logger;
}

/**
 * Follows a log from a little before its head. Following ends when the log was trimmed past this reader's offset, was
 * started over, or cannot be reached. It then begins anew and calls `begin` again.
 */
export class Tail {
  private readonly options: TailOptions;
  private readonly stopping = new AbortController();
  private follower: Follower | undefined;
  private running: Promise<void> | undefined;
  private down: string | undefined = 'not following yet';

  constructor(options: TailOptions) {
    this.options = options;
  }

  /** Resolves after the first try to follow, whether or not it succeeded: further tries are made until one does. */
  async start(): Promise<void> {
    await new Promise<void>((tried) => {
      this.running = this.run(tried);
    });
  }

  /** Nothing is handed on after it resolves. */
  async stop(): Promise<void> {
    this.stopping.abort();
    await this.follower?.stop();
    await this.running;
  }

  /** Whether the log can be reached, and whether it is being followed. */
  health(): Health[] {
    const { log, name } = this.options;
    const feed = { name: `${name} feed`, ok: this.down === undefined };
    return [healthOf(`${name} log`, log.state), this.down === undefined ? feed : { ...feed, why: this.down }];
  }

  private async run(tried: () => void): Promise<void> {
    while (!this.stopping.signal.aborted) {
      try {
        const follower = await this.follow();
        tried();
        await follower.ended;
      } catch (error) {
        this.down = explain(error);
        this.options.logger.warn({ why: this.down }, `following the ${this.options.name} log ended, beginning anew`);
        tried();
        await pause(RETRY_MS, this.stopping.signal);
      }
    }
  }

  private async follow(): Promise<Follower> {
    const { log, entries, prepare, begin, take } = this.options;
    const { epoch, first, next } = await log.head();
    await prepare?.(epoch);
    const from = Math.max(first, next - entries);
    // Before following: the handler may be called before `follow` resolves.
    begin(epoch, from - 1);
    this.follower = await log.follow({ offset: from, epoch }, take);
    this.down = undefined;
    if (this.stopping.signal.aborted) await this.follower.stop();
    return this.follower;
  }
}
