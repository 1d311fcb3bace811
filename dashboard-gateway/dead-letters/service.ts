import type { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import type { ClockHistory } from '../../backbone/clocks/clock-history.ts';
import { DeadLetters } from '../../backbone/dead-letters/dead-letters.ts';
import { DeadQuotas } from '../../backbone/dead-letters/quota.ts';
import type { Log, LogEntry, LogLimits } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import { newestOffset } from '../../backbone/ports/recent-follower.ts';
import { clock } from '../../core/clock.ts';
import { explain, Trimmed, UnknownEpoch } from '../../core/errors.ts';
import type { Health } from '../../core/lifecycle.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { type DeadLetter, decodeDead } from '../../telemetry/batch.ts';
import type { DeadAct, DeadMark } from '../../telemetry/dead-letter-mark.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import { HttpProblem, retryLater } from '../http/problem.ts';
import { Tail } from '../live/feed/tail.ts';
import { DeadLetterIndex, type Filter, type IndexedLetter, type Summary } from './letter-index.ts';
import { publishReplay, replayMessage } from './replay-message.ts';
import { isPutOff, quotaWarning, trimmingWarning } from './warnings.ts';

const LOOK_MS = 30_000;
/** How often a warning is logged again while it holds. */
const SAY_AGAIN_MS = 12 * 3_600_000;
/** Letters of one page that lie closer together in the log than this are read together. */
const MOST_APART = 100;

export interface DeadLetterServiceOptions {
  readonly dead: Log;
  readonly limits: LogLimits;
  readonly queue: Queue;
  /** What became of the clocks of receipts. Without it, receipts are taken as they are. */
  readonly clocks?: ClockHistory | undefined;
  /** Numbers what is replayed. */
  readonly replays: BatchEntrance;
  readonly registry: RegistryView;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  /** Unix ms. */
  readonly now: () => number;
  /** How often the service checks what was trimmed and what will be soon, ms. */
  readonly lookMs?: number;
}

/** A letter with its entry in the index. */
export interface FoundLetter {
  readonly listed: IndexedLetter;
  readonly letter: DeadLetter;
}

/** What is known of the log as a whole. */
export interface LogNow {
  readonly bytes: number;
  readonly oldest: number | undefined;
  readonly warning: string | null;
}

/**
 * Lists, replays and discards dead letters. It follows the log from its beginning and keeps an index of it, which is
 * the same at every gateway. It warns before letters are trimmed, and counts open letters that were trimmed.
 */
export class DeadLetterService {
  private readonly options: DeadLetterServiceOptions;
  private readonly index = new DeadLetterIndex();
  private readonly tail: Tail;
  private readonly writer: DeadLetters;
  /** How much of its quota each sensor has used by letters of workers, computed from the log. */
  private quotas = new DeadQuotas({});
  private readonly busy = new Set<number>();
  private epoch = '';
  private read = 0;
  /** The offset that the index must reach to be complete; undefined until the log was asked. */
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

  /** Resolves after the first attempt to follow the log. The index is made in the background. */
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

  /**
   * A page of a farm's letters; `''`: of no farm. Rejects with HttpProblem `busy` while the index is being made, or
   * with LogUnavailable.
   */
  async list(farm: string, filter: Filter): Promise<{ letters: FoundLetter[]; next: number | null } & Summary> {
    await this.whole();
    const { letters, more } = this.index.page(farm, filter);
    const shown = await this.open(letters);
    return { letters: shown, next: more ? (letters.at(-1)?.offset ?? null) : null, ...this.index.summary(farm) };
  }

  /** One letter of a farm. Rejects with HttpProblem `not-found`, or as `list` does. */
  async one(farm: string, offset: number): Promise<FoundLetter> {
    await this.whole();
    const listed = this.index.find(farm, offset);
    const [found] = listed ? await this.open([listed]) : [];
    if (!found) throw new HttpProblem('not-found', `the farm has no dead letter ${offset}`);
    return found;
  }

  /**
   * Publishes a letter to the queue again and marks it as replayed in the log. Resolves when both are durable. When
   * this process dies in between, the letter stays open; replaying it again makes the same points. Rejects with
   * HttpProblem `not-found` or `conflict`, with QueueFull, QueueUnavailable or LogUnavailable.
   */
  replay(farm: string, offset: number, by: string): Promise<FoundLetter> {
    return this.settle(farm, offset, 'replayed', by, async ({ letter, listed }) => {
      const { registry, queue, replays, clocks } = this.options;
      if (listed.state === 'replayed') throw new HttpProblem('conflict', `letter ${offset} was replayed already`);
      const message = replayMessage(letter, offset, this.epoch, registry.current(), clocks);
      if ('why' in message) throw new HttpProblem('conflict', `letter ${offset} cannot be replayed: ${message.why}`);
      await publishReplay(queue, replays, message);
    });
  }

  /** Marks a letter as discarded; its bytes stay in the log until they are trimmed. Rejects as `replay` does. */
  discard(farm: string, offset: number, by: string): Promise<FoundLetter> {
    return this.settle(farm, offset, 'discarded', by, async ({ listed }) => {
      if (listed.state !== 'open') throw new HttpProblem('conflict', `letter ${offset} was ${listed.state} already`);
    });
  }

  logNow(): LogNow {
    const { limits, now } = this.options;
    const kept = this.index.kept;
    return { ...kept, warning: trimmingWarning(kept, limits, now()) };
  }

  /** A warning for a farm's admins before further letters are no longer kept, or are trimmed; null when there is none. */
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
      // The mark comes with the log later as well. It is applied now, so that requests until then see it.
      this.index.settle(mark);
      const { sensor, reason } = found.listed;
      this.options.logger.info({ farm, sensor, offset, reason, by }, `dead letter ${act}`);
      return found;
    } finally {
      this.busy.delete(offset);
    }
  }

  private begin(epoch: string, offset: number): void {
    this.index.clear();
    this.quotas = new DeadQuotas({});
    this.epoch = epoch;
    this.read = offset;
    this.target = undefined;
  }

  private take(entries: readonly LogEntry[]): void {
    for (const { offset, body } of entries) {
      const letter = this.index.take(offset, body);
      if (letter?.writer?.startsWith('worker/')) this.quotas.kept(letter);
      this.read = offset;
    }
  }

  /**
   * Resolves when the index is complete: up to where the log ended when this was first asked. Until then it rejects
   * with HttpProblem `busy`, or with LogUnavailable.
   */
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

  /** Reads letters from the log. They are given and returned by falling offset; a letter that was trimmed meanwhile is left out. */
  private async open(letters: readonly IndexedLetter[]): Promise<FoundLetter[]> {
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

  /** Counts open letters that the log has trimmed, and warns of those that it will trim soon. Never rejects. */
  private async look(): Promise<void> {
    const { dead, logger } = this.options;
    try {
      const { first, epoch } = await dead.head();
      if (epoch !== this.epoch) return;
      const lost = this.index.trim(first);
      this.trimmed += lost;
      if (lost > 0) logger.error({ count: lost }, 'dead letters were trimmed that nobody had replayed or discarded');
    } catch (error) {
      logger.debug(`the dead-letter log could not be looked at: ${explain(error)}`);
    }
    const { warning, bytes } = this.logNow();
    if (warning === null || (this.saidAt !== undefined && clock.passed() - this.saidAt < SAY_AGAIN_MS)) return;
    this.saidAt = clock.passed();
    logger.warn({ event: 'dead_letters_near_trimming', bytes }, warning);
  }

  private show(metrics: Metrics): void {
    const { limits, now } = this.options;
    metrics.gauge(
      'loam_dead_letters_open',
      'Dead letters that nobody has replayed or discarded',
      () => this.index.totals().open,
    );
    metrics.gauge(
      'loam_dead_letter_log_bytes',
      'About how many bytes the dead-letter log keeps',
      () => this.index.kept.bytes,
    );
    metrics.gauge(
      'loam_dead_letter_log_max_bytes',
      'Bytes above which its oldest entries are trimmed',
      () => limits.maxBytes,
    );
    metrics.gauge('loam_dead_letter_oldest_seconds', 'Age of the oldest entry of the dead-letter log', () => {
      const { oldest } = this.index.kept;
      return oldest === undefined ? 0 : (now() - oldest) / 1_000;
    });
    metrics.gauge('loam_dead_letter_warning', '1 while something is about to be trimmed', () =>
      this.logNow().warning === null ? 0 : 1,
    );
    const isLate = () => isPutOff(this.index.kept.oldest, limits, now());
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

/** Divides rising offsets into runs; each run is read from the log in one call. */
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
