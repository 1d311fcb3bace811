import { setImmediate as nextTurn } from 'node:timers/promises';
import type { Log, LogEntry } from '../../../backbone/ports/log.ts';
import { explain, LogUnavailable, Trimmed, UnknownEpoch } from '../../../core/errors.ts';
import type { Logger } from '../../../core/logger.ts';
import type { Reading } from '../../../telemetry/reading.ts';
import type { GapReason, LiveCounters } from '../counters.ts';
import { type EntryWindow, lastReceived, type WindowEntry } from '../feed/entry-window.ts';

/**
 * Most that is read back in one pass, over all farms. A viewer that needs more is told of a gap: fetching the history
 * is cheaper then.
 */
const MOST_ENTRIES = 20_000;
const MOST_BYTES = 64 * 2 ** 20;
/** Entries read at once, and entries decoded before the event loop gets a turn. */
const AT_ONCE = 500;
const DECODED_AT_ONCE = 32;

export interface CatchUpOptions {
  readonly live: Log;
  /** The readings of an entry; none when its batch came before at another offset. */
  readonly decode: (entry: LogEntry) => readonly Reading[];
  readonly counters: LiveCounters;
  readonly log: Logger;
  readonly mostEntries?: number;
}

interface WantedEntries {
  readonly window: EntryWindow;
  readonly from: number;
  readonly resolve: (outcome: 'reached' | GapReason) => void;
}

/**
 * Reads the log back for viewers that missed more than is in memory.
 *
 * One pass runs at a time. It reads the log once, from the oldest wanted entry, for all farms that are wanted when it
 * begins. Requests that come meanwhile wait for the next pass. So thousands of viewers that come back at once cost one
 * reading, and the memory for one.
 */
export class CatchUp {
  private readonly options: CatchUpOptions;
  private readonly mostEntries: number;
  private wanted = new Map<string, WantedEntries[]>();
  private running = false;
  private closed = false;

  constructor(options: CatchUpOptions) {
    this.options = options;
    this.mostEntries = options.mostEntries ?? MOST_ENTRIES;
  }

  /**
   * Resolves with `reached` when `window`, of `farm`, has every entry from `from` on; otherwise with the reason why
   * not. Never rejects.
   */
  reach(farm: string, window: EntryWindow, from: number, epoch: string): Promise<'reached' | GapReason> {
    if (window.from - from > this.mostEntries) return Promise.resolve('too-much');
    return new Promise((resolve) => {
      this.queue(farm, { window, from, resolve });
      if (!this.running) void this.run(epoch);
    });
  }

  /** Stops reading the log back. */
  close(): void {
    this.closed = true;
  }

  private queue(farm: string, request: WantedEntries): void {
    const ofFarm = this.wanted.get(farm);
    if (ofFarm) ofFarm.push(request);
    else this.wanted.set(farm, [request]);
  }

  private async run(epoch: string): Promise<void> {
    this.running = true;
    // Viewers that come back at the same time get into the same pass.
    await nextTurn();
    while (this.wanted.size > 0 && !this.closed) {
      const { wanted } = this;
      this.wanted = new Map();
      let failed: unknown;
      try {
        await this.pass(wanted, epoch);
      } catch (error) {
        failed = error;
      }
      for (const [farm, requests] of wanted) for (const request of requests) this.settle(farm, request, failed);
    }
    this.running = false;
  }

  private settle(farm: string, request: WantedEntries, failed: unknown): void {
    if (request.from >= request.window.from) request.resolve('reached');
    else if (failed === undefined) request.resolve('too-much');
    // Another viewer wanted entries that were trimmed. This one wants newer entries and may still be served.
    else if (failed instanceof Trimmed && request.from >= failed.first) this.queue(farm, request);
    else request.resolve(this.reasonOf(failed));
  }

  /** Reads the log once for all `wanted`. Resolves when what could be read is in the windows; rejects with the error of the log. */
  private async pass(wanted: ReadonlyMap<string, readonly WantedEntries[]>, epoch: string): Promise<void> {
    const { live, counters } = this.options;
    const all = [...wanted.values()].flat();
    const from = Math.min(...all.map((request) => request.from));
    const found = new Map([...wanted.keys()].map((farm) => [farm, [] as WindowEntry[]]));
    counters.catchUp.passes++;
    let bytes = 0;
    let since: number | undefined;
    for (let next = from; ; ) {
      const until = Math.max(...all.map(({ window }) => window.from));
      if (next >= until) break;
      const entries = await live.read({ offset: next, epoch }, Math.min(AT_ONCE, until - next));
      const last = entries.at(-1);
      if (!last) break;
      next = last.offset + 1;
      for (const [i, entry] of entries.entries()) {
        if (i % DECODED_AT_ONCE === 0) await nextTurn();
        if (this.closed) return;
        bytes += entry.body.length;
        const readings = this.options.decode(entry);
        if (readings.length > 0) since ??= lastReceived(readings);
        distribute(entry.offset, readings, found);
      }
      counters.catchUp.entries += entries.length;
      counters.catchUp.bytes += entries.reduce((sum, { body }) => sum + body.length, 0);
      if (bytes > MOST_BYTES || next - from > this.mostEntries * 2) return;
    }
    for (const [farm, requests] of wanted) {
      const window = requests[0]?.window;
      const older = (found.get(farm) ?? []).filter(({ offset }) => window && offset < window.from);
      if (window && window.from > from) window.prepend(from, since ?? 0, older);
    }
  }

  private reasonOf(error: unknown): GapReason {
    if (error instanceof Trimmed) return 'trimmed';
    if (error instanceof UnknownEpoch) return 'epoch';
    if (!(error instanceof LogUnavailable)) this.options.log.error(`reading the live log back: ${explain(error)}`);
    return 'unavailable';
  }
}

function distribute(offset: number, readings: readonly Reading[], found: ReadonlyMap<string, WindowEntry[]>): void {
  const byFarm = new Map<string, Reading[]>();
  for (const reading of readings) {
    if (!found.has(reading.farm)) continue;
    const ofFarm = byFarm.get(reading.farm);
    if (ofFarm) ofFarm.push(reading);
    else byFarm.set(reading.farm, [reading]);
  }
  for (const [farm, ofFarm] of byFarm) found.get(farm)?.push({ offset, at: lastReceived(ofFarm), readings: ofFarm });
}
