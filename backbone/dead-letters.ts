import { LRUCache } from 'lru-cache';
import type { Counter } from 'prom-client';
import type { Logger } from '../core/logger.ts';
import { LabelValues, type Metrics } from '../core/metrics.ts';
import { type DeadLetter, encodeDead } from '../telemetry/batch.ts';
import { type DeadMark, encodeMark } from '../telemetry/dead-mark.ts';
import type { Log } from './log/port.ts';

/** How much one sensor may put into the dead-letter log: so much at once, and so much more each day. */
export interface DeadQuota {
  readonly bytes: number;
  readonly bytesADay: number;
}

/** A year of it is a tenth of what the log keeps. */
export const SENSOR_QUOTA: DeadQuota = { bytes: 32 * 1024 ** 2, bytesADay: 1024 ** 2 };
/** What is nobody's is a whole queue message, with the readings of many sensors. */
export const NOBODYS_QUOTA: DeadQuota = { bytes: 1024 ** 3, bytesADay: 8 * 1024 ** 2 };

/** The reason of a letter that stands for many. */
export const OVER_QUOTA = 'over_quota';

const DAY_MS = 86_400_000;
/** While a sensor is over its quota, one letter in so long says so. */
const SAY_AGAIN_MS = 6 * 3_600_000;
/** Sensors whose quota is remembered. One more gives the one that was quiet longest a fresh quota. */
const MOST_SENSORS = 50_000;
/** What an entry takes beside its texts and payload. */
const OVERHEAD_BYTES = 200;
const MOST_REASONS = 20;

export interface DeadLettersOptions {
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly quota?: DeadQuota;
  readonly nobodysQuota?: DeadQuota;
  /** Of all of this writer's letters together, beside each sensor's own; without it there is no such limit. */
  readonly allQuota?: DeadQuota;
  /** Unix ms. */
  readonly now?: () => number;
}

interface Account {
  readonly quota: DeadQuota;
  bytes: number;
  at: number;
  /** What was not kept since it was last said, by reason. */
  unsaid: Map<string, number>;
  saidAt: number | undefined;
}

/**
 * The writing side of the dead-letter log. It keeps one sensor's flood from pushing everything else out of the log: every sensor has
 * a quota. What is over it is counted and not kept, but for one letter now and then that says how many they were.
 *
 * Quotas live in the memory of a process: each worker grants its own, and a restart grants it anew.
 */
export class DeadLetters {
  private readonly log: Log;
  private readonly logger: Logger;
  private readonly quota: DeadQuota;
  private readonly nobodysQuota: DeadQuota;
  private readonly all: Account | undefined;
  private readonly now: () => number;
  private readonly accounts = new LRUCache<string, Account>({ max: MOST_SENSORS });
  private readonly counted: Counter<'reason' | 'kept'> | undefined;
  private readonly reasons = new LabelValues();

  constructor(log: Log, { logger, metrics, quota, nobodysQuota, allQuota, now }: DeadLettersOptions) {
    this.log = log;
    this.logger = logger;
    this.quota = quota ?? SENSOR_QUOTA;
    this.nobodysQuota = nobodysQuota ?? NOBODYS_QUOTA;
    this.now = now ?? Date.now;
    this.all = allQuota && newAccount(allQuota, this.now());
    this.counted = metrics?.counter('loam_dead_letters_total', 'Dead letters, by reason and whether they were kept', [
      'reason',
      'kept',
    ]);
  }

  /**
   * What is to be appended for a letter: itself; or, when its sensor's quota is used up, now and then one that stands for many, and
   * otherwise nothing. To be asked once a letter: it is charged here.
   */
  admit(letter: DeadLetter): DeadLetter | undefined {
    const { isWithin, admitted } = this.charge(letter);
    this.count(letter, isWithin);
    return admitted;
  }

  /**
   * Keeps a letter that nobody was promised, when its quota has room. Resolves when it is durable, or was left out: then with false.
   * Rejects with LogUnavailable, and counts it as not kept.
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

  /** Counts a letter that is left out for a reason of its writer's. */
  leaveOut(letter: DeadLetter): void {
    this.count(letter, false);
  }

  /** Resolves when the letter is durable. Rejects with LogUnavailable. */
  append(letter: DeadLetter): Promise<void> {
    return this.log.append(encodeDead(letter));
  }

  /** Resolves when it is durable what became of a letter. Rejects with LogUnavailable. */
  mark(mark: DeadMark): Promise<void> {
    return this.log.append(encodeMark(mark));
  }

  private count({ reason }: DeadLetter, isKept: boolean): void {
    this.counted?.inc({ reason: this.reasons.of(reason), kept: isKept ? 'yes' : 'no' });
  }

  /** What is over the quota of all is said once for all: a letter for each of many sensors would be a flood again. */
  private charge(letter: DeadLetter): { isWithin: boolean; admitted: DeadLetter | undefined } {
    const size = sizeOf(letter);
    const own = this.accountOf(letter);
    const all = this.all && this.grow(this.all);
    if (all && size > all.bytes) return { isWithin: false, admitted: this.overQuota(letter, all) };
    const isWithin = size <= own.bytes;
    const admitted = isWithin ? letter : this.overQuota(letter, own);
    if (isWithin) own.bytes -= size;
    if (all && admitted) all.bytes -= size;
    return { isWithin, admitted };
  }

  private overQuota(letter: DeadLetter, account: Account): DeadLetter | undefined {
    const { unsaid } = account;
    const reason = unsaid.has(letter.reason) || unsaid.size < MOST_REASONS ? letter.reason : 'other';
    unsaid.set(reason, (unsaid.get(reason) ?? 0) + 1);
    const now = this.now();
    if (account.saidAt !== undefined && now - account.saidAt < SAY_AGAIN_MS) return undefined;
    account.saidAt = now;
    account.unsaid = new Map();
    const { farm, sensor } = letter.publish;
    const count = [...unsaid.values()].reduce((sum, n) => sum + n, 0);
    const list = [...unsaid].map(([word, n]) => `${n} ${word}`).join(', ');
    const whose = account === this.all ? 'of all sensors together' : 'of the sensor';
    this.logger.warn(
      { farm, sensor, count },
      `the quota of dead letters ${whose} is used up: further ones are not kept`,
    );
    const explanation =
      `the last of ${count} messages (${list}) since the quota of dead letters ${whose} was used up; ` +
      `the others were not kept, and further ones are only counted for ${SAY_AGAIN_MS / 3_600_000} hours. ${letter.explanation}`;
    return { ...letter, reason: OVER_QUOTA, explanation };
  }

  private accountOf({ publish: { farm, sensor } }: DeadLetter): Account {
    const key = `${farm}/${sensor}`;
    const quota = farm === '' ? this.nobodysQuota : this.quota;
    const account = this.accounts.get(key) ?? newAccount(quota, this.now());
    this.accounts.set(key, account);
    return this.grow(account);
  }

  /** The account as it is now: what may be put in has grown since it was last looked at. */
  private grow(account: Account): Account {
    const { quota } = account;
    const now = this.now();
    const grown = (Math.max(0, now - account.at) / DAY_MS) * quota.bytesADay;
    account.bytes = Math.min(quota.bytes, account.bytes + grown);
    account.at = now;
    return account;
  }
}

function newAccount(quota: DeadQuota, now: number): Account {
  return { quota, bytes: quota.bytes, at: now, unsaid: new Map(), saidAt: undefined };
}

function sizeOf({ publish: { topic, payload }, explanation }: DeadLetter): number {
  return payload.length + topic.length + explanation.length + OVERHEAD_BYTES;
}
