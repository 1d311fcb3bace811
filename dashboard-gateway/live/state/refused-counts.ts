import type { Log, LogEntry } from '../../../backbone/ports/log.ts';
import { EncodingInvalid } from '../../../core/errors.ts';
import type { Logger } from '../../../core/logger.ts';
import { decodeDead } from '../../../telemetry/batch.ts';
import { Tail } from '../feed/tail.ts';

/** Only the newest dead letters of one day are counted. Every gateway reads the same ones, so their counts are equal. */
const COUNTED_ENTRIES = 10_000;
const COUNTED_MS = 24 * 3_600_000;

interface RefusedLetter {
  readonly offset: number;
  readonly at: number;
  readonly key: string;
}

/** How many messages of each sensor were refused lately, by the dead-letter log. */
export class RefusedCounts {
  readonly tail: Tail;
  private readonly now: () => number;
  private letters: RefusedLetter[] = [];
  private counts = new Map<string, number>();

  constructor(dead: Log, now: () => number, logger: Logger) {
    this.now = now;
    this.tail = new Tail({
      log: dead,
      name: 'dead-letter',
      entries: COUNTED_ENTRIES,
      begin: () => {
        this.letters = [];
        this.counts = new Map();
      },
      take: (entries) => this.take(entries),
      logger,
    });
  }

  of(farm: string, sensor: string): number {
    return this.counts.get(keyOf(farm, sensor)) ?? 0;
  }

  /** Forgets what no longer counts. To be called now and then. */
  expire(): void {
    const first = (this.letters.at(-1)?.offset ?? 0) - COUNTED_ENTRIES;
    const since = this.now() - COUNTED_MS;
    const kept = this.letters.findIndex(({ offset, at }) => offset > first && at > since);
    const gone = this.letters.splice(0, kept < 0 ? this.letters.length : kept);
    for (const { key } of gone) this.count(key, -1);
  }

  private take(entries: readonly LogEntry[]): void {
    for (const { offset, body } of entries) {
      const letter = read(body);
      if (!letter) continue;
      const { publish, at } = letter;
      const key = keyOf(publish.farm, publish.sensor);
      this.letters.push({ offset, at, key });
      this.count(key, 1);
    }
    this.expire();
  }

  private count(key: string, by: number): void {
    const count = (this.counts.get(key) ?? 0) + by;
    if (count > 0) this.counts.set(key, count);
    else this.counts.delete(key);
  }
}

function keyOf(farm: string, sensor: string): string {
  return `${farm}/${sensor}`;
}

/** Undefined for an entry that is no dead letter of this version. */
function read(body: Uint8Array) {
  try {
    return decodeDead(body);
  } catch (error) {
    if (error instanceof EncodingInvalid) return undefined;
    throw error;
  }
}
