import { LRUCache } from 'lru-cache';
import type { DeadLetter } from '../../telemetry/batch.ts';

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
/** Sensors whose quota is remembered. One more gives the one that was quiet longest a fresh quota. */
const MOST_SENSORS = 50_000;
/** What an entry takes beside its texts and payload. */
const OVERHEAD_BYTES = 200;
/** An account that was looked at so far in the future: the clock was set back, and what may be put in grows again from now on. */
const SET_BACK_MS = 3_600_000;
/** With less of its quota left a sensor is near the end of it. */
const NEARLY_USED = 0.25;

export interface QuotaOptions {
  readonly quota?: DeadQuota | undefined;
  readonly nobodysQuota?: DeadQuota | undefined;
  /** Of all letters together, beside each sensor's own; without it there is no such limit. */
  readonly allQuota?: DeadQuota | undefined;
}

/** What is left of a quota, in bytes, and since when that is so, Unix ms. */
export interface QuotaAccount {
  readonly quota: DeadQuota;
  bytes: number;
  at: number;
}

/** What sensors have put into the dead-letter log, against their quotas. Times are Unix ms. */
export class DeadQuotas {
  /** Of all sensors together, where there is such a limit. */
  readonly all: QuotaAccount | undefined;
  private readonly quota: DeadQuota;
  private readonly nobodysQuota: DeadQuota;
  private readonly accounts = new LRUCache<string, QuotaAccount>({ max: MOST_SENSORS });

  constructor({ quota, nobodysQuota, allQuota }: QuotaOptions) {
    this.quota = quota ?? SENSOR_QUOTA;
    this.nobodysQuota = nobodysQuota ?? NOBODYS_QUOTA;
    this.all = allQuota && { quota: allQuota, bytes: allQuota.bytes, at: 0 };
  }

  /** Charges a letter that is about to be kept; answers the account that has no room for it, which is then not charged. */
  charge(letter: DeadLetter, now: number): QuotaAccount | undefined {
    const size = sizeOf(letter);
    const own = this.of(letter, now);
    for (const account of [own, this.all]) if (account && account.at - now > SET_BACK_MS) account.at = now;
    const full = [this.all && grown(this.all, now), own].find((account) => account && size > account.bytes);
    if (full) return full;
    own.bytes -= size;
    if (this.all) this.all.bytes -= size;
    return undefined;
  }

  /** Charges a letter that was kept at its time. One that stands for many is nobody's but all's. */
  kept(letter: DeadLetter): void {
    const size = sizeOf(letter);
    const own = letter.reason === OVER_QUOTA ? undefined : this.of(letter, letter.at);
    for (const account of [own, this.all && grown(this.all, letter.at)]) {
      if (account) account.bytes = Math.max(0, account.bytes - size);
    }
  }

  /** A letter's own account as it is at `now`. */
  of({ publish: { farm, sensor } }: DeadLetter, now: number): QuotaAccount {
    const key = `${farm}/${sensor}`;
    const quota = farm === '' ? this.nobodysQuota : this.quota;
    const account = this.accounts.get(key) ?? { quota, bytes: quota.bytes, at: now };
    this.accounts.set(key, account);
    return grown(account, now);
  }

  /** The sensors of a farm, or of every one, that are near the end of their quota or at it, with the share that they have used. */
  *nearlyUsed(now: number, farm?: string): Generator<{ readonly sensor: string; readonly used: number }> {
    for (const [key, account] of this.accounts) {
      const slash = key.indexOf('/');
      if (farm !== undefined && key.slice(0, slash) !== farm) continue;
      if (isNearlyUsed(grown(account, now))) yield { sensor: key.slice(slash + 1), used: usedOf(account) };
    }
  }
}

export function isNearlyUsed(account: QuotaAccount): boolean {
  return account.bytes < account.quota.bytes * NEARLY_USED;
}

/** The used share of a quota, 0 to 1. */
export function usedOf({ bytes, quota }: QuotaAccount): number {
  return 1 - bytes / quota.bytes;
}

/** The account as it is at `now`: what may be put in has grown since it was last looked at. */
function grown(account: QuotaAccount, now: number): QuotaAccount {
  const { quota } = account;
  const growth = (Math.max(0, now - account.at) / DAY_MS) * quota.bytesADay;
  account.bytes = Math.min(quota.bytes, account.bytes + growth);
  account.at = Math.max(now, account.at);
  return account;
}

function sizeOf({ publish: { topic, payload }, explanation }: DeadLetter): number {
  return payload.length + topic.length + explanation.length + OVERHEAD_BYTES;
}
