import type { Log, LogEntry } from '../../../backbone/ports/log.ts';
import { EncodingInvalid } from '../../../core/errors.ts';
import type { Logger } from '../../../core/logger.ts';
import { decodeDead } from '../../../telemetry/batch.ts';
import { Tail } from '../feed/tail.ts';
import { ClockSamples } from './clock-samples.ts';

/** Only the newest dead letters of one day are counted. Every gateway reads the same ones, so their counts are equal. */
const COUNTED_ENTRIES = 10_000;
const COUNTED_MS = 24 * 3_600_000;

interface RefusedLetter {
  readonly offset: number;
  readonly at: number;
  readonly key: string;
  /** It says something of the sensor's clock. */
  readonly isOfClock: boolean;
}

/** What is known of messages that were refused lately. `RefusedCounts` is one. */
export type RefusedLately = Pick<RefusedCounts, 'of' | 'clockOf'>;

/** The clock of a sensor by its refused letters, and how many these are. */
interface RefusedClock {
  letters: number;
  readonly samples: ClockSamples;
}

/** How many messages of each sensor were refused lately, by the dead-letter log, and what they say of its clock. */
export class RefusedCounts {
  readonly tail: Tail;
  private readonly now: () => number;
  private letters: RefusedLetter[] = [];
  private counts = new Map<string, number>();
  private clocks = new Map<string, RefusedClock>();

  constructor(dead: Log, now: () => number, logger: Logger) {
    this.now = now;
    this.tail = new Tail({
      log: dead,
      name: 'dead-letter',
      entries: COUNTED_ENTRIES,
      begin: () => {
        this.letters = [];
        this.counts = new Map();
        this.clocks = new Map();
      },
      take: (entries) => this.take(entries),
      logger,
    });
  }

  /** How many messages of a sensor were refused. */
  of(farm: string, sensor: string): number {
    return this.counts.get(keyOf(farm, sensor)) ?? 0;
  }

  /** What messages say of a sensor's clock that were refused because of it; undefined when there are none. */
  clockOf(farm: string, sensor: string): ClockSamples | undefined {
    return this.clocks.get(keyOf(farm, sensor))?.samples;
  }

  /** Forgets what no longer counts. To be called now and then. */
  expire(): void {
    const first = (this.letters.at(-1)?.offset ?? 0) - COUNTED_ENTRIES;
    const since = this.now() - COUNTED_MS;
    const kept = this.letters.findIndex(({ offset, at }) => offset > first && at > since);
    const gone = this.letters.splice(0, kept < 0 ? this.letters.length : kept);
    for (const { key, isOfClock } of gone) {
      this.count(key, -1);
      if (isOfClock) this.forgetClock(key);
    }
  }

  private take(entries: readonly LogEntry[]): void {
    for (const { offset, body } of entries) {
      const letter = read(body);
      if (!letter) continue;
      const { publish, at, clock } = letter;
      const key = keyOf(publish.farm, publish.sensor);
      this.letters.push({ offset, at, key, isOfClock: clock !== undefined });
      this.count(key, 1);
      if (!clock) continue;
      const known = this.clocks.get(key) ?? { letters: 0, samples: new ClockSamples() };
      this.clocks.set(key, known);
      known.letters += 1;
      known.samples.add({ at: publish.received, ...clock });
    }
    this.expire();
  }

  private forgetClock(key: string): void {
    const known = this.clocks.get(key);
    if (!known) return;
    known.letters -= 1;
    if (known.letters <= 0) this.clocks.delete(key);
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
