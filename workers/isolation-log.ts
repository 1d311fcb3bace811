import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Log } from '../backbone/ports/log.ts';
import { Trimmed } from '../core/errors.ts';

const record = z.object({ unit: z.string(), is: z.enum(['begun', 'ended']) });
type AttemptEntry = z.infer<typeof record>;

const READ_AT_ONCE = 1_000;

/**
 * Records which unit a worker had at work, alone, when it died. That tells the publish that kills workers from those
 * that were only at work beside it.
 *
 * When a worker dies, the queue counts one more delivery of every message that it held. So a message with too many is
 * watched, in company or alone, and the begin and end of each attempt are appended to a log that every worker reads. A unit with more
 * begins than ends has killed, or failed, that many attempts.
 */
export class IsolationLog {
  private readonly log: Log;
  private readonly attemptsWithoutEnd = new Map<string, number>();
  private readFrom = 0;
  private reading: Promise<void> = Promise.resolve();
  private nextReading: Promise<void> | undefined;

  constructor(log: Log) {
    this.log = log;
  }

  /** How often a worker died, or failed, with this unit alone at work. Rejects with LogUnavailable. */
  async deaths(unit: string): Promise<number> {
    await this.readToEnd();
    return this.attemptsWithoutEnd.get(unit) ?? 0;
  }

  /** One reading of the log serves everybody who asked before it began: hundreds may ask at once, and each reading takes its time. */
  private readToEnd(): Promise<void> {
    this.nextReading ??= this.reading
      .catch(() => {})
      .then(async () => {
        this.nextReading = undefined;
        for (let more = true; more; ) more = await this.readOn();
      });
    this.reading = this.nextReading;
    return this.nextReading;
  }

  /** Resolves when the begin is on disk. Rejects with LogUnavailable. */
  begun(unit: string): Promise<void> {
    return this.append({ unit, is: 'begun' });
  }

  ended(unit: string): Promise<void> {
    return this.append({ unit, is: 'ended' });
  }

  private append(entry: AttemptEntry): Promise<void> {
    return this.log.append(new TextEncoder().encode(JSON.stringify(entry)));
  }

  private async readOn(): Promise<boolean> {
    try {
      const entries = await this.log.read(this.readFrom === 0 ? 'first' : { offset: this.readFrom }, READ_AT_ONCE);
      for (const { offset, body } of entries) {
        this.readFrom = offset + 1;
        this.note(record.parse(JSON.parse(new TextDecoder().decode(body))));
      }
      return entries.length > 0;
    } catch (error) {
      if (!(error instanceof Trimmed)) throw error;
      this.readFrom = error.first;
      return true;
    }
  }

  private note({ unit, is }: AttemptEntry): void {
    const count = (this.attemptsWithoutEnd.get(unit) ?? 0) + (is === 'begun' ? 1 : -1);
    if (count === 0) this.attemptsWithoutEnd.delete(unit);
    else this.attemptsWithoutEnd.set(unit, count);
  }
}

/** Names the publishes `from` to `to` of a queue message, the same at every delivery. */
export function unitOf(body: Uint8Array, from: number, to: number): string {
  return `${createHash('sha256').update(body).digest('base64url')}:${from}-${to}`;
}
