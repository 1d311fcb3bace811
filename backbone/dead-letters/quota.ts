import { LRUCache } from 'lru-cache';
import type { DeadLetter } from '../../telemetry/batch.ts';

/** How much one sensor may put into the dead-letter log: `bytes` at once, and `bytesADay` more each day. */
export interface DeadQuota {
  readonly bytes: number;
  readonly bytesADay: number;
}

/** In a year a sensor can put in about a tenth of what the log keeps. */
export const SENSOR_QUOTA: DeadQuota = { bytes: 32 * 1024 ** 2, bytesADay: 1024 ** 2 };
/** For letters without a farm and a sensor: each is a whole queue message, with the readings of many sensors. A quarter of the log. */
export const UNASSIGNED_QUOTA: DeadQuota = { bytes: 1024 ** 3, bytesADay: 8 * 1024 ** 2 };
/** For all sensors of a farm together, where its own quotas say nothing: the letters of one farm leave room for those of others. */
export const FARM_QUOTA: DeadQuota = UNASSIGNED_QUOTA;

/** Letters of this reason have quotas of their own: what a store does not keep because of its age must not use up a sensor's quota. */
const BEYOND_RETENTION = 'beyond_retention';

/** The reason of a letter that stands for many. */
export const OVER_QUOTA = 'over_quota';

const DAY_MS = 86_400_000;
/**
 * Most sensors whose quota is remembered. At the limit the one that was quiet longest is forgotten: its quota is full
 * again.
 */
const MOST_SENSORS = 50_000;
/** Most farms whose quota is remembered, likewise. */
const MOST_FARMS = 10_000;
/** Bytes of an entry besides its texts and payload. */
const OVERHEAD_BYTES = 200;
/** An account with a time further in the future: the clock was set back, and the quota grows from now on. */
const SET_BACK_MS = 3_600_000;
/** A quota is nearly used up when less than this share of it is left. */
const NEARLY_USED = 0.25;

export interface QuotaOptions {
  readonly quota?: DeadQuota | undefined;
  readonly unassignedQuota?: DeadQuota | undefined;
  /** The quota of all letters together, in addition to each sensor's own; without it there is no such limit. */
  readonly allQuota?: DeadQuota | undefined;
  /** The quota of all sensors of a farm together, bytes at once and a day, where the farm has one of its own. */
  readonly farmQuota?: ((farm: string) => number | undefined) | undefined;
  /** The quota of all other farms, each. */
  readonly usualFarmQuota?: DeadQuota | undefined;
}

/** What is left of a quota, in bytes, at the time `at`, Unix ms. */
export interface QuotaAccount {
  readonly of: 'sensor' | 'farm' | 'all';
  quota: DeadQuota;
  bytes: number;
  at: number;
}

/** What sensors have put into the dead-letter log, against their quotas. Times are Unix ms. */
export class DeadQuotas {
  /** The account of all sensors together, where there is such a limit. */
  readonly all: QuotaAccount | undefined;
  private readonly quota: DeadQuota;
  private readonly unassignedQuota: DeadQuota;
  private readonly farmQuota: (farm: string) => number | undefined;
  private readonly usualFarmQuota: DeadQuota;
  private readonly accounts = new LRUCache<string, QuotaAccount>({ max: MOST_SENSORS });
  private readonly farms = new LRUCache<string, QuotaAccount>({ max: MOST_FARMS });

  constructor({ quota, unassignedQuota, allQuota, farmQuota, usualFarmQuota }: QuotaOptions) {
    this.quota = quota ?? SENSOR_QUOTA;
    this.unassignedQuota = unassignedQuota ?? UNASSIGNED_QUOTA;
    this.all = allQuota && { of: 'all', quota: allQuota, bytes: allQuota.bytes, at: 0 };
    this.farmQuota = farmQuota ?? (() => undefined);
    this.usualFarmQuota = usualFarmQuota ?? FARM_QUOTA;
  }

  /** Charges a letter that is about to be kept. If an account has no room for it, returns that account and charges none. */
  charge(letter: DeadLetter, now: number): QuotaAccount | undefined {
    const size = sizeOf(letter);
    const all = [this.all, this.ofFarm(letter, now), this.of(letter, now)].filter((account) => account !== undefined);
    for (const account of all) if (account.at - now > SET_BACK_MS) account.at = now;
    const full = all.find((account) => size > grown(account, now).bytes);
    if (full) return full;
    for (const account of all) account.bytes -= size;
    return undefined;
  }

  /** Charges a letter that was kept, at its time. One that stands for many is not charged to its sensor. */
  kept(letter: DeadLetter): void {
    const size = sizeOf(letter);
    const own = letter.reason === OVER_QUOTA ? undefined : this.of(letter, letter.at);
    for (const account of [own, this.ofFarm(letter, letter.at), this.all && grown(this.all, letter.at)]) {
      if (account) account.bytes = Math.max(0, account.bytes - size);
    }
  }

  /** A letter's own account as it is at `now`. */
  of({ publish: { farm, sensor }, reason }: DeadLetter, now: number): QuotaAccount {
    const key = `${reason === BEYOND_RETENTION ? '!' : ''}${farm}/${sensor}`;
    const quota = farm === '' ? this.unassignedQuota : this.quota;
    const account = this.accounts.get(key) ?? { of: 'sensor', quota, bytes: quota.bytes, at: now };
    this.accounts.set(key, account);
    return grown(account, now);
  }

  /** The account of all sensors of a letter's farm as it is at `now`; undefined for a letter that is nobody's. */
  private ofFarm({ publish: { farm } }: DeadLetter, now: number): QuotaAccount | undefined {
    if (farm === '') return undefined;
    const bytes = this.farmQuota(farm);
    const quota = bytes === undefined ? this.usualFarmQuota : { bytes, bytesADay: bytes };
    const account = this.farms.get(farm) ?? { of: 'farm', quota, bytes: quota.bytes, at: now };
    this.farms.set(farm, account);
    // It may be another one since the last letter.
    account.quota = quota;
    return grown(account, now);
  }

  /** The sensors of one farm, or of all farms, whose quota is nearly or fully used up, with the share that is used. */
  *nearlyUsed(now: number, farm?: string): Generator<{ readonly sensor: string; readonly used: number }> {
    for (const [key, account] of this.accounts) {
      const slash = key.indexOf('/');
      if (farm !== undefined && key.slice(0, slash).replace('!', '') !== farm) continue;
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

/** The account as it is at `now`: what is left has grown since the account was last looked at. */
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
