import { randomUUID } from 'node:crypto';
import type { Counter } from 'prom-client';
import { type Clock, clock as machineClock, steadyFrom } from '../../core/clock.ts';
import { EncodingInvalid } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import { LabelValues, type Metrics } from '../../core/metrics.ts';
import { type DeadLetter, decodeDead, encodeDead } from '../../telemetry/batch.ts';
import { type DeadMark, encodeMark } from '../../telemetry/dead-letter-mark.ts';
import type { Log } from '../ports/log.ts';
import { RecentFollower } from '../ports/recent-follower.ts';
import { DeadQuotas, isNearlyUsed, OVER_QUOTA, type QuotaAccount, type QuotaOptions, usedOf } from './quota.ts';

/** While a sensor is over its quota, one dead letter is kept per this time; it tells how many messages were not. */
const SAY_AGAIN_MS = 6 * 3_600_000;
const MOST_REASONS = 20;

const WHOSE = { sensor: 'of the sensor', farm: 'of the farm', all: 'of all sensors together' } as const;

export interface DeadLettersOptions extends QuotaOptions {
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  /** Writers of one kind share their quotas. `worker` unless told. */
  readonly kind?: 'worker' | 'broker';
  /** Unix ms. */
  readonly now?: () => number;
  readonly clock?: Clock;
}

/** What was reported of an account, and what still has to be. */
interface ReportState {
  /** How many letters were not kept since the last report, by reason. */
  unsaid: Map<string, number>;
  saidAt: number | undefined;
  /** Whether it was logged that the quota is nearly used up, and that is still so. */
  warned: boolean;
}

/**
 * The writing side of the dead-letter log. Every sensor has a quota, so that the flood of one sensor cannot push all
 * other letters out of the log. Letters over the quota are counted and not kept, except one now and then that says how
 * many they were.
 *
 * Writers of one kind share their quotas: after `start` each follows the log, and charges the letters that the others
 * kept. A letter takes some time through the log, and what two writers admit in that time is kept by both. By that much
 * each further writer can exceed a quota.
 */
export class DeadLetters {
  private readonly log: Log;
  private readonly logger: Logger;
  private readonly quotas: DeadQuotas;
  private readonly kind: string;
  private readonly writer: string;
  private readonly follower: RecentFollower;
  private readonly now: () => number;
  private readonly sayings = new WeakMap<QuotaAccount, ReportState>();
  private readonly counted: Counter<'reason' | 'kept'> | undefined;
  private readonly reasons = new LabelValues();

  constructor(
    log: Log,
    { logger, metrics, kind = 'worker', now, clock = machineClock, ...quotas }: DeadLettersOptions,
  ) {
    this.log = log;
    this.logger = logger;
    this.quotas = new DeadQuotas(quotas);
    this.kind = kind;
    this.writer = `${kind}/${randomUUID()}`;
    // A step of the clock must not fill a quota up, or stop its growing.
    this.now = now ?? steadyFrom(clock);
    this.follower = new RecentFollower(log, logger, ({ body }) => this.heard(body));
    this.counted = metrics?.counter('loam_dead_letters_total', 'Dead letters, by reason and whether they were kept', [
      'reason',
      'kept',
    ]);
  }

  /**
   * Begins to charge the letters that other writers keep. Resolves when the earlier ones were charged, or after ten
   * seconds. Never rejects.
   */
  start(): Promise<void> {
    return this.follower.start();
  }

  /** Ends following; letters can still be written. */
  stop(): Promise<void> {
    return this.follower.stop();
  }

  /**
   * The letter to append: `letter` itself within its sensor's quota; over it, now and then a letter that stands for
   * many, and otherwise undefined. To be called once for each letter, because it charges the quota.
   */
  admit(letter: DeadLetter): DeadLetter | undefined {
    const { isWithin, admitted } = this.charge(letter);
    this.count(letter, isWithin);
    return admitted;
  }

  /**
   * Keeps a letter that was not promised to be kept, when its quota has room. Resolves with true when the letter is
   * durable, with false when it was left out. Rejects with LogUnavailable; the letter counts as not kept then.
   */
  async keep(letter: DeadLetter): Promise<boolean> {
    const { isWithin, admitted } = this.charge(letter);
    let isKept = false;
    try {
      if (admitted) await this.append(admitted);
      isKept = isWithin;
    } finally {
      this.count(letter, isKept);
    }
    return isKept;
  }

  /** The share of its sensor's quota that is used up, 0 to 1. */
  used(letter: DeadLetter): number {
    return usedOf(this.quotas.of(letter, this.now()));
  }

  /** Counts a letter that its writer left out for another reason than the quota. */
  leaveOut(letter: DeadLetter): void {
    this.count(letter, false);
  }

  /** Resolves when the letter is durable. Rejects with LogUnavailable. */
  append(letter: DeadLetter): Promise<void> {
    return this.log.append(encodeDead({ ...letter, writer: this.writer }));
  }

  /** Appends what became of a letter; resolves when that is durable. Rejects with LogUnavailable. */
  mark(mark: DeadMark): Promise<void> {
    return this.log.append(encodeMark(mark));
  }

  private count({ reason }: DeadLetter, isKept: boolean): void {
    this.counted?.inc({ reason: this.reasons.of(reason), kept: isKept ? 'yes' : 'no' });
  }

  private heard(body: Uint8Array): void {
    const letter = deadOf(body);
    const { writer } = letter ?? {};
    if (letter && writer !== this.writer && writer?.startsWith(`${this.kind}/`)) this.quotas.kept(letter);
  }

  /** When the quota of all sensors, or of a farm's, is used up, one letter reports it for all of them: one for each sensor would be a flood again. */
  private charge(letter: DeadLetter): { isWithin: boolean; admitted: DeadLetter | undefined } {
    const now = this.now();
    const full = this.quotas.charge(letter, now);
    if (!full) {
      this.warn(letter, this.quotas.of(letter, now));
      return { isWithin: true, admitted: letter };
    }
    const admitted = this.overQuota(letter, full);
    if (admitted && full.of !== 'all') this.quotas.kept({ ...admitted, at: now });
    return { isWithin: false, admitted };
  }

  private warn({ publish: { farm, sensor } }: DeadLetter, account: QuotaAccount): void {
    const sayings = this.sayingsOf(account);
    const isNear = isNearlyUsed(account);
    if (isNear && !sayings.warned) {
      const used = `${Math.floor(usedOf(account) * 100)} %`;
      this.logger.warn(
        { event: 'dead_letters_near_quota', farm, sensor },
        `${used} of the sensor’s quota of dead letters is used: at its end further ones are counted and not kept`,
      );
    }
    sayings.warned = isNear;
  }

  private overQuota(letter: DeadLetter, account: QuotaAccount): DeadLetter | undefined {
    const sayings = this.sayingsOf(account);
    const { unsaid } = sayings;
    const reason = unsaid.has(letter.reason) || unsaid.size < MOST_REASONS ? letter.reason : 'other';
    unsaid.set(reason, (unsaid.get(reason) ?? 0) + 1);
    const now = this.now();
    // A last report in the future means that the clock was set back: report again.
    const isSaid = sayings.saidAt !== undefined && sayings.saidAt <= now && now - sayings.saidAt < SAY_AGAIN_MS;
    if (isSaid) return undefined;
    sayings.saidAt = now;
    sayings.unsaid = new Map();
    const { farm, sensor } = letter.publish;
    const count = [...unsaid.values()].reduce((sum, n) => sum + n, 0);
    const list = [...unsaid].map(([word, n]) => `${n} ${word}`).join(', ');
    const whose = WHOSE[account.of];
    this.logger.warn(
      { event: 'dead_letters_over_quota', farm, sensor, count },
      `the quota of dead letters ${whose} is used up: further ones are not kept`,
    );
    const explanation =
      `the last of ${count} messages (${list}) since the quota of dead letters ${whose} was used up; ` +
      `the others were not kept, and further ones are only counted for ${SAY_AGAIN_MS / 3_600_000} hours. ${letter.explanation}`;
    return { ...letter, reason: OVER_QUOTA, explanation };
  }

  private sayingsOf(account: QuotaAccount): ReportState {
    const sayings = this.sayings.get(account) ?? {
      unsaid: new Map<string, number>(),
      saidAt: undefined,
      warned: false,
    };
    this.sayings.set(account, sayings);
    return sayings;
  }
}

/** The letter in an entry of the log; undefined when it is something else, or of another version. */
function deadOf(body: Uint8Array): DeadLetter | undefined {
  try {
    return decodeDead(body);
  } catch (error) {
    if (error instanceof EncodingInvalid) return undefined;
    throw error;
  }
}
