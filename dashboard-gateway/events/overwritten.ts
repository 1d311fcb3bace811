import type { Log } from '../../backbone/ports/log.ts';
import { EncodingInvalid, explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { withDeadline } from '../../core/timing.ts';
import type { LiveEntry } from '../../telemetry/batch.ts';
import { decodeEvent, liveEventId, offsetOfEvent, type RecordedEvent } from '../../telemetry/event.ts';
import type { WritesListener } from '../live/feed/feed.ts';
import { RecentValues } from './recent-values.ts';

/** Values that are remembered, over all farms: 18 MB, and the ids of their batches. */
export const REMEMBERED_VALUES = 2 ** 19;
/** How many of the newest events are read at the start, and how many of them at a time. */
const EVENTS_LOOKED_AT = 5_000;
const EVENTS_AT_ONCE = 500;
const LOOK_MS = 5_000;

export interface OverwrittenOptions {
  readonly events: Log;
  readonly write: (event: RecordedEvent) => void;
  readonly logger: Logger;
  /** Unix ms. */
  readonly now: () => number;
}

/** Up to where the event log had events of the live log at the start. All before `offset` were written; of it, those in `ids`. */
interface Written {
  readonly epoch: string;
  offset: number;
  readonly ids: Set<string>;
}

/**
 * Hears every entry of the live log once, and makes an event of each value that another message brought under the same
 * time shortly before.
 *
 * A gateway that starts reads the live log from a little before its head, so it sees entries that were looked at
 * before. Their values are remembered, but an event that is in the event log already is not made again.
 */
export class OverwrittenValues implements WritesListener {
  readonly counters = { unreadable: 0, newer: 0 };
  private readonly options: OverwrittenOptions;
  private readonly recent = new RecentValues(REMEMBERED_VALUES);
  private epoch = '';
  /** The offset of the last entry that was looked at. */
  private last = -1;
  private written: Written | undefined;

  constructor(options: OverwrittenOptions) {
    this.options = options;
  }

  /** Finds the newest event of the live log in the event log. When that fails, events that are there may be made again, with the same ids. */
  async prepare(epoch: string): Promise<void> {
    if (this.written?.epoch === epoch) return;
    try {
      this.written = await withDeadline(this.newestWritten(epoch), LOOK_MS, 'the event log did not answer in time');
    } catch (error) {
      this.options.logger.warn(`events that are written already may be written again: ${explain(error)}`);
    }
  }

  begin(epoch: string): void {
    if (epoch !== this.epoch) this.last = -1;
    this.epoch = epoch;
  }

  wrote({ id: batch, readings }: LiveEntry, offset: number, isNews: boolean): void {
    // Following may begin anew before entries that were looked at. A batch that came before changes nothing.
    if (offset <= this.last || !isNews) return;
    this.last = offset;
    if (readings.length === 0) return;
    this.recent.begin(batch);
    for (const [index, reading] of readings.entries()) {
      for (const { metric, old, new: fresh, batch: before } of this.recent.take(reading)) {
        const id = liveEventId(this.epoch, offset, index, metric);
        if (this.isWritten(id, offset)) continue;
        const { farm, sensor, ts } = reading;
        const about = { id, farm, sensor, metric, ts, old, new: fresh, oldBatch: before, newBatch: batch };
        this.options.write({ kind: 'overwritten', ...about, at: this.options.now(), origin: 'live' });
      }
    }
  }

  private isWritten(id: string, offset: number): boolean {
    const { written } = this;
    if (written?.epoch !== this.epoch) return false;
    return offset < written.offset || written.ids.has(id);
  }

  private async newestWritten(epoch: string): Promise<Written> {
    const { events } = this.options;
    const written = { epoch, offset: -1, ids: new Set<string>() };
    const { first, next } = await events.head();
    for (let from = Math.max(first, next - EVENTS_LOOKED_AT); from < next; ) {
      const entries = await events.read({ offset: from }, EVENTS_AT_ONCE);
      for (const { body } of entries) this.noteWritten(written, body);
      from = (entries.at(-1)?.offset ?? next) + 1;
    }
    return written;
  }

  private noteWritten(written: Written, body: Uint8Array): void {
    const id = this.read(body)?.id ?? '';
    const offset = offsetOfEvent(id, written.epoch);
    if (offset === undefined || offset < written.offset) return;
    if (offset > written.offset) written.ids.clear();
    written.offset = offset;
    written.ids.add(id);
  }

  private read(body: Uint8Array): RecordedEvent | undefined {
    try {
      const event = decodeEvent(body);
      if (event === undefined) this.counters.newer++;
      return event;
    } catch (error) {
      if (!(error instanceof EncodingInvalid)) throw error;
      this.counters.unreadable++;
      return undefined;
    }
  }
}
