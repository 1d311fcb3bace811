import { LRUCache } from 'lru-cache';
import { placeOf } from '../../core/networks.ts';
import type { BrokerLimits } from '../limits.ts';

type AddressLimits = Pick<BrokerLimits, 'connections' | 'connectionsPerAddress'>;

/** Failures are forgotten after so long without another. */
const FORGET_MS = 10 * 60_000;
/** Addresses whose failures are remembered: the latest. */
const MOST_ADDRESSES = 10_000;
/** So many wrong credentials are answered at once: a person sets up a sensor. After them each answer takes twice as long as the last. */
const FREE_FAILURES = 5;
const FIRST_DELAY_MS = 250;
const MOST_DELAY_MS = 8_000;

/**
 * What is known of the addresses that connect: how many connections each has, and how often its credentials were wrong.
 * A network of IPv6 (/64) is one address, because its owner has all of them.
 */
export class Addresses {
  private readonly limits: AddressLimits;
  private readonly open = new Map<string, number>();
  private readonly failures = new LRUCache<string, number>({ max: MOST_ADDRESSES, ttl: FORGET_MS });
  private total = 0;

  constructor(limits: AddressLimits) {
    this.limits = limits;
  }

  /** Counts a connection in; false when there is no room for it. Who was counted in is counted out by `leave`. */
  enter(address: string): boolean {
    const place = placeOf(address);
    const before = this.open.get(place) ?? 0;
    if (this.total >= this.limits.connections || before >= this.limits.connectionsPerAddress) return false;
    this.total += 1;
    this.open.set(place, before + 1);
    return true;
  }

  leave(address: string): void {
    const place = placeOf(address);
    const left = (this.open.get(place) ?? 1) - 1;
    this.total -= 1;
    if (left > 0) this.open.set(place, left);
    else this.open.delete(place);
  }

  /**
   * Counts wrong credentials. Answers after how many ms the client may be told. Right credentials are never slowed down:
   * one sensor with a wrong secret must not hold up the others behind its router.
   */
  failed(address: string): number {
    const place = placeOf(address);
    const failures = (this.failures.get(place) ?? 0) + 1;
    this.failures.set(place, failures);
    const over = failures - FREE_FAILURES;
    return over <= 0 ? 0 : Math.min(FIRST_DELAY_MS * 2 ** Math.min(over - 1, 16), MOST_DELAY_MS);
  }
}
