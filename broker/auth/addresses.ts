import { LRUCache } from 'lru-cache';
import { countingKey } from '../../core/networks.ts';
import type { BrokerLimits } from '../limits.ts';

type AddressLimits = Pick<BrokerLimits, 'connections' | 'connectionsPerAddress'>;

/** An address's failures are forgotten when it had no further one for so long. */
const FORGET_MS = 10 * 60_000;
/** Most addresses whose failures are remembered. One more replaces the one that was used longest ago. */
const MOST_ADDRESSES = 10_000;
/** So many wrong credentials are answered at once: a person is setting up a sensor. After them the delay doubles each time. */
const FREE_FAILURES = 5;
const FIRST_DELAY_MS = 250;
const MOST_DELAY_MS = 8_000;

/**
 * The addresses that clients connect from: how many clients of each are let in, and how often its credentials were wrong.
 * An IPv6 network (/64) counts as one address, because one owner has all of its addresses.
 */
export class Addresses {
  private readonly limits: AddressLimits;
  private readonly open = new Map<string, number>();
  private readonly failures = new LRUCache<string, number>({ max: MOST_ADDRESSES, ttl: FORGET_MS });
  private total = 0;

  constructor(limits: AddressLimits) {
    this.limits = limits;
  }

  /** Connections of clients that were let in. */
  get size(): number {
    return this.total;
  }

  hasRoom(address: string): boolean {
    const ofAddress = this.open.get(countingKey(address)) ?? 0;
    return this.total < this.limits.connections && ofAddress < this.limits.connectionsPerAddress;
  }

  /** Counts a connection; it must `leave` at its close. */
  enter(address: string): void {
    const place = countingKey(address);
    this.total += 1;
    this.open.set(place, (this.open.get(place) ?? 0) + 1);
  }

  leave(address: string): void {
    const place = countingKey(address);
    const left = (this.open.get(place) ?? 1) - 1;
    this.total -= 1;
    if (left > 0) this.open.set(place, left);
    else this.open.delete(place);
  }

  /**
   * Counts wrong credentials. Returns how many ms the refusal must be delayed. Right credentials are never delayed:
   * one sensor with a wrong secret must not slow down the others behind its router.
   */
  failed(address: string): number {
    const place = countingKey(address);
    const failures = (this.failures.get(place) ?? 0) + 1;
    this.failures.set(place, failures);
    const over = failures - FREE_FAILURES;
    return over <= 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** Math.min(over - 1, 16), MOST_DELAY_MS);
  }
}
