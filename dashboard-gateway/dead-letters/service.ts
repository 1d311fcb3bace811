import { DeadLetters } from '../../backbone/dead-letters/dead-letters.ts';
import { newestOffset } from '../../backbone/dead-letters/follower.ts';
import { DeadQuotas } from '../../backbone/dead-letters/quota.ts';
import type { Log, LogEntry, LogLimits } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { explain, Trimmed, UnknownEpoch } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { type DeadLetter, decodeDead } from '../../telemetry/batch.ts';
import type { DeadAct, DeadMark } from '../../telemetry/dead-mark.ts';
import type { RegistryView } from '../../telemetry/registry.ts';
import { HttpProblem, retryLater } from '../http/problem.ts';
import { Tail } from '../live/feed/tail.ts';
import { DeadLetterIndex, type Filter, type Listed, type Summary } from './letter-index.ts';
import { replayMessage } from './replay.ts';
import { isPutOff, quotaWarning, trimmingWarning } from './warnings.ts';

const LOOK_MS = 30_000;
/** A warning that stands is said in the log so often. */
const SAY_AGAIN_MS = 12 * 3_600_000;
/** Letters of one page that lie closer together in the log than this are read together. */
const MOST_APART = 100;

export interface DeadLetterServiceOptions {
  readonly dead: Log;
  readonly limits: LogLimits;
  readonly queue: Queue;
  readonly registry: RegistryView;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  /** Unix ms. */
  readonly now: () => number;
  /** How often it looks at what was trimmed, and is about to be. */
  readonly lookMs?: number;
}

/** A letter with its place and what became of it. */
export interface FoundLetter {
  readonly listed: Listed;
  readonly letter: DeadLetter;
}

/** What is known of the log as a whole. */
export interface LogNow {
  readonly bytes: number;
  readonly oldest: number | undefined;
  readonly warning: string | null;
}

/**
 * Where dead letters are looked at, replayed and discarded. It follows the log from its beginning and keeps a list of what is in it;
 * every gateway has the same. Before anything is trimmed it warns, and what was trimmed unseen it counts.
 */
export class DeadLetterService {
  private readonly options: DeadLetterServiceOptions;
  private readonly book = new DeadLetterIndex();
  private readonly tail: Tail;
  private readonly writer: DeadLetters;
  /** What workers charge their letters to, as the log tells it. */
  private quotas = new DeadQuotas({});
  private readonly busy = new Set<number>();
  private epoch = '';
  private read = 0;
  /** The offset up to which the list has to come before it is whole; undefined until the log was asked. */
  private target: number | undefined;
  private timer: NodeJS.Timeout | undefined;
  private saidAt: number | undefined;
  private trimmed = 0;

  constructor(options: DeadLetterServiceOptions) {
    const { dead, logger, metrics } = options;
    this.options = options;
    this.writer = new DeadLetters(dead, { logger });
    this.tail = new Tail({
      log: dead,
      name: 'dead-letter list',
      entries: Number.POSITIVE_INFINITY,
      begin: (epoch, offset) => this.begin(epoch, offset),
      take: (entries) => this.take(entries),
      logger,
    });
    if (metrics) this.show(metrics);
  }

  /** Resolves when following the log was tried for the first time; the list is made in the background. */
  async start(): Promise<void> {
    await this.tail.start();
    this.timer = setInterval(() => void this.look(), this.options.lookMs ?? LOOK_MS);
    this.timer.unref();
  }

  async stop(): Promise<void> {
    clearInterval(this.timer);
    await this.tail.stop();
  }

  health(): Health[] {
    return this.tail.health().slice(1);
  }

  /** What a farm has; `''` is what is nobody's. Rejects with HttpProblem `busy` while the list is being made, or with LogUnavailable. */
  async list(farm: string, filter: Filter): Promise<{ letters: FoundLetter[]; next: number | null } & Summary> {
    await this.whole();
    const { letters, more } = this.book.page(farm, filter);
    const shown = await this.open(letters);
    return { letters: shown, next: more ? (letters.at(-1)?.offset ?? null) : null, ...this.book.summary(farm) };
  }

  /** One letter of a farm. Rejects with HttpProblem `not-found`, or as `list` does. */
  async one(farm: string, offset: number): Promise<FoundLetter> {
    await this.whole();
    const listed = this.book.find(farm, offset);
    const [found] = listed ? await this.open([listed]) : [];
    if (!found) throw new HttpProblem('not-found', `the farm has no dead letter ${offset}`);
    return found;
  }

  /**
   * Puts a letter back at the entrance of the queue and remembers that. Resolves when both are durable.
   * When this process dies in between, the letter stays open: replayed again, it makes the same points.
   * Rejects with HttpProblem `not-found` or `conflict`, with QueueFull, QueueUnavailable or LogUnavailable.
   */
  replay(farm: string, offset: number, by: string): Promise<FoundLetter> {
    return this.settle(farm, offset, 'replayed', by, async ({ letter, listed }) => {
      const { registry, queue } = this.options;
      if (listed.state === 'replayed') throw new HttpProblem('conflict', `letter ${offset} was replayed already`);
      const message = replayMessage(letter, offset, this.epoch, registry.current());
      if ('why' in message) throw new HttpProblem('conflict', `letter ${offset} cannot be replayed: ${message.why}`);
      await queue.publish(message);
    });
  }

  /** Remembers that nobody wants a letter any more; its bytes stay in the log until they are trimmed. Rejects as `replay` does. */
  discard(farm: string, offset: number, by: string): Promise<FoundLetter> {
    return this.settle(farm, offset, 'discarded', by, async ({ listed }) => {
      if (listed.state !== 'open') throw new HttpProblem('conflict', `letter ${offset} was ${listed.state} already`);
    });
  }

  /** The farms that have letters of these sensors, as far as the list is made. */
  bringers(sensors: ReadonlySet<string>): Iterable<{ readonly farm: string; readonly sensor: string }> {
    return this.book.bringers(sensors);
  }

  logNow(): LogNow {
    const { limits, now } = this.options;
    const kept = this.book.kept;
    return { ...kept, warning: trimmingWarning(kept, limits, now()) };
  }

  /** What a farm's admins should know before letters of theirs are left out, or trimmed; null when there is nothing. */
  warningFor(farm: string): string | null {
    const nearly = [...this.quotas.nearlyUsed(this.options.now(), farm)];
    const warnings = [quotaWarning(nearly), this.logNow().warning].filter((warning) => warning !== null);
    return warnings.length > 0 ? warnings.join(' ') : null;
  }

  private async settle(
    farm: string,
    offset: number,
    act: DeadAct,
    by: string,
    work: (letter: FoundLetter) => Promise<void>,
  ): Promise<FoundLetter> {
    const found = await this.one(farm, offset);
    if (this.busy.has(offset)) throw new HttpProblem('conflict', `somebody else is at letter ${offset} right now`);
    this.busy.add(offset);
    try {
      await work(found);
      const mark: DeadMark = { farm, offset, act, by, at: this.options.now() };
      await this.writer.mark(mark);
      // It will come with the log as well; whoever asks meanwhile is to see it.
      this.book.settle(mark);
      const { sensor, reason } = found.listed;
      this.options.logger.info({ farm, sensor, offset, reason, by }, `dead letter ${act}`);
      return found;
    } finally {
      this.busy.delete(offset);
    }
  }

  private begin(epoch: string, offset: number): void {
    this.book.clear();
    this.quotas = new DeadQuotas({});
    this.epoch = epoch;
    this.read = offset;
    this.target = undefined;
  }

  private take(entries: readonly LogEntry[]): void {
    for (const { offset, body } of entries) {
      const letter = this.book.take(offset, body);
      if (letter?.writer?.startsWith('worker/')) this.quotas.kept(letter);
      this.read = offset;
    }
  }

  /** Resolves when the list reaches to where the log ended when it was first asked for. */
  private async whole(): Promise<void> {
    const { epoch } = this;
    if (this.target === undefined) {
      const target = await newestOffset(this.options.dead);
      if (this.epoch === epoch) this.target = target;
    }
    if (this.target === undefined || this.read < this.target) {
      throw retryLater('busy', 2, 'the dead-letter log is still being read');
    }
  }

  /** Reads letters from the log, in the order given: by falling offset. What was trimmed meanwhile is left out. */
  private async open(letters: readonly Listed[]): Promise<FoundLetter[]> {
    const found = new Map<number, DeadLetter>();
    for (const run of runsOf(letters.map(({ offset }) => offset).reverse())) {
      const [from = 0] = run;
      const count = (run.at(-1) ?? from) - from + 1;
      for (const { offset, body } of await this.readRun(from, count)) {
        if (run.includes(offset)) found.set(offset, decodeDead(body));
      }
    }
    return letters.flatMap((listed) => {
      const letter = found.get(listed.offset);
      return letter ? [{ listed, letter }] : [];
    });
  }

  private async readRun(from: number, count: number): Promise<LogEntry[]> {
    try {
      return await this.options.dead.read({ offset: from, epoch: this.epoch }, count);
    } catch (error) {
      if (error instanceof Trimmed || error instanceof UnknownEpoch) return [];
      throw error;
    }
  }

  /** Looks at what the log has trimmed and at what it is about to trim. Never rejects. */
  private async look(): Promise<void> {
    const { dead, logger } = this.options;
    try {
      const { first, epoch } = await dead.head();
      if (epoch !== this.epoch) return;
      const lost = this.book.trim(first);
      this.trimmed += lost;
      if (lost > 0) logger.error({ count: lost }, 'dead letters were trimmed that nobody had replayed or discarded');
    } catch (error) {
      logger.debug(`the dead-letter log could not be looked at: ${explain(error)}`);
    }
    const { warning, bytes } = this.logNow();
    if (warning === null || (this.saidAt !== undefined && performance.now() - this.saidAt < SAY_AGAIN_MS)) return;
    this.saidAt = performance.now();
    logger.warn({ event: 'dead_letters_near_trimming', bytes }, warning);
  }

  private show(metrics: Metrics): void {
    const { limits, now } = this.options;
    metrics.gauge(
      'loam_dead_letters_open',
      'Dead letters that nobody has replayed or discarded',
      () => this.book.totals().open,
    );
    metrics.gauge(
      'loam_dead_letter_log_bytes',
      'About how many bytes the dead-letter log keeps',
      () => this.book.kept.bytes,
    );
    metrics.gauge(
      'loam_dead_letter_log_max_bytes',
      'Bytes above which its oldest entries are trimmed',
      () => limits.maxBytes,
    );
    metrics.gauge('loam_dead_letter_oldest_seconds', 'Age of the oldest entry of the dead-letter log', () => {
      const { oldest } = this.book.kept;
      return oldest === undefined ? 0 : (now() - oldest) / 1_000;
    });
    metrics.gauge('loam_dead_letter_warning', '1 while something is about to be trimmed', () =>
      this.logNow().warning === null ? 0 : 1,
    );
    const isLate = () => isPutOff(this.book.kept.oldest, limits, now());
    const putOff = '1 while letters are kept that should be trimmed by the clock';
    metrics.gauge('loam_dead_letter_trimming_put_off', putOff, () => (isLate() ? 1 : 0));
    metrics.gauge(
      'loam_dead_letter_sensors_near_quota',
      'Sensors that have used more than three quarters of their quota of dead letters',
      () => [...this.quotas.nearlyUsed(now())].length,
    );
    metrics.counts('loam_dead_letters_trimmed_total', 'Dead letters trimmed that nobody had looked after', () => ({
      open: this.trimmed,
    }));
  }
}

/** Rising offsets, in groups that are worth reading together. */
function runsOf(offsets: readonly number[]): number[][] {
  const runs: number[][] = [];
  for (const offset of offsets) {
    const run = runs.at(-1);
    const before = run?.at(-1);
    if (run && before !== undefined && offset - before <= MOST_APART) run.push(offset);
    else runs.push([offset]);
  }
  return runs;
}
