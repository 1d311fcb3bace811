import { createHash } from 'node:crypto';
import { z } from 'zod';
import type { Log } from '../backbone/ports/log.ts';
import { Trimmed } from '../core/errors.ts';

const record = z.object({ unit: z.string(), is: z.enum(['begun', 'ended']) });
type TrialEntry = z.infer<typeof record>;

const READ_AT_ONCE = 1_000;

/**
 * Who was at work, alone, when a worker died: the evidence by which a guilty publish is told from those that were in hand with it.
 *
 * The queue counts a death against everything that the dead worker held. So what came too often is tried alone, and that is written down
 * before and after, in a log that every worker reads. Begun more often than ended: so often it took a worker with it.
 */
export class IsolationLog {
  private readonly log: Log;
  private readonly unfinished = new Map<string, number>();
  private readFrom = 0;

  constructor(log: Log) {
    this.log = log;
  }

  /** How often a worker died, or failed, with this unit alone in hand. Rejects with LogUnavailable. */
  async deaths(unit: string): Promise<number> {
    for (let more = true; more; ) more = await this.readOn();
    return this.unfinished.get(unit) ?? 0;
  }

  /** Resolves when the begin is on disk. Rejects with LogUnavailable. */
  begun(unit: string): Promise<void> {
    return this.append({ unit, is: 'begun' });
  }

  ended(unit: string): Promise<void> {
    return this.append({ unit, is: 'ended' });
  }

  private append(entry: TrialEntry): Promise<void> {
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

  private note({ unit, is }: TrialEntry): void {
    const count = (this.unfinished.get(unit) ?? 0) + (is === 'begun' ? 1 : -1);
    if (count === 0) this.unfinished.delete(unit);
    else this.unfinished.set(unit, count);
  }
}

/** Names the publishes `from` to `to` of a queue message, the same at every delivery. */
export function unitOf(body: Uint8Array, from: number, to: number): string {
  return `${createHash('sha256').update(body).digest('base64url')}:${from}-${to}`;
}
