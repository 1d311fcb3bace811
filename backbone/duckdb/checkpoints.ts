import { clock } from '../../core/clock.ts';
import { explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { pause } from '../../core/timing.ts';
import type { Log } from '../ports/log.ts';
import type { DuckdbProcess } from './process.ts';
import type { KeptPlace } from './protocol.ts';

/** So many values make a checkpoint due: about 64 MiB of the live log. */
const MOST_VALUES = 2_000_000;
/** How old the newest checkpoint gets while something is written, ms. */
export const CHECKPOINT_MS = 300_000;
/** How long a checkpoint waits for what was begun before it, ms. It is taken without a new place then. */
const LONGEST_WAIT_MS = 2_000;

export interface CheckpointParts {
  readonly process: DuckdbProcess;
  /** Without a log a checkpoint has no place. */
  readonly live: Log | undefined;
  /** Everything that was begun and is not in the store yet: writes, and readings that are being announced. */
  readonly begun: () => readonly Promise<unknown>[];
  readonly took: (place: KeptPlace | undefined) => void;
  readonly failed: () => void;
  readonly everyMs: number;
  readonly log: Logger | undefined;
}

/**
 * Checkpoints of one run of the database's process. Each:
 *
 * 1. asks the live log for the place behind its newest entry,
 * 2. waits for everything that was begun before: all readings that the log has before that place are in the store then,
 * 3. lets DuckDB write all that it has into the file itself, and with it the place.
 *
 * However the process ends, what came after the place is in the live log, from where it is written again. So the place
 * has to be asked for first: an entry that comes while 2 lasts is written twice then, and never left out.
 */
export class Checkpoints {
  private readonly parts: CheckpointParts;
  private readonly timer: NodeJS.Timeout;
  private values = 0;
  private underWay: Promise<void> | undefined;
  private next: Promise<void> | undefined;

  constructor(parts: CheckpointParts) {
    this.parts = parts;
    this.timer = setInterval(() => {
      if (this.values > 0) this.takeSoon();
    }, parts.everyMs).unref();
  }

  /** Values were written. */
  wrote(values: number): void {
    this.values += values;
    if (this.values >= MOST_VALUES) this.takeSoon();
  }

  /** Resolves when a checkpoint has been taken that was begun after this call. Rejects with StoreUnavailable. */
  take(): Promise<void> {
    if (this.underWay === undefined) {
      this.underWay = this.takeOne().finally(() => {
        this.underWay = undefined;
      });
      return this.underWay;
    }
    const again = () => {
      this.next = undefined;
      return this.take();
    };
    this.next ??= this.underWay.then(again, again);
    return this.next;
  }

  /** Takes the last one, at a stop. Never rejects. */
  async takeLast(): Promise<void> {
    this.stop();
    await this.take().catch((error) => this.say(error));
  }

  stop(): void {
    clearInterval(this.timer);
  }

  private takeSoon(): void {
    if (this.underWay === undefined) this.take().catch((error) => this.say(error));
  }

  private async takeOne(): Promise<void> {
    this.values = 0;
    try {
      const place = await this.place();
      await this.parts.process.call({ is: 'checkpoint', place }, 'done');
      this.parts.took(place);
    } catch (error) {
      this.parts.failed();
      throw error;
    }
  }

  /** Undefined when there is none: the place of the checkpoint before stays in force. */
  private async place(): Promise<KeptPlace | undefined> {
    const taken = clock.now();
    const head = await this.parts.live?.head().catch((error) => this.say(error));
    if (!head) return undefined;
    if (!(await areOver(this.parts.begun()))) return undefined;
    return { epoch: head.epoch, offset: head.next, taken };
  }

  private say(error: unknown): void {
    this.parts.log?.warn({ event: 'store_checkpoint_failed' }, `a checkpoint of the store failed: ${explain(error)}`);
  }
}

/** Whether all of them have settled within LONGEST_WAIT_MS. */
async function areOver(begun: readonly Promise<unknown>[]): Promise<boolean> {
  const over = new AbortController();
  const all = Promise.allSettled(begun).then(() => over.abort());
  await Promise.race([all, pause(LONGEST_WAIT_MS, over.signal)]);
  return over.signal.aborted;
}
