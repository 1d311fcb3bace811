import type { BrokerLimits } from '../limits.ts';

type IntakeLimits = Pick<BrokerLimits, 'publishes' | 'publishBytes' | 'waitingBytes'>;

/** Each client may have so many bytes waiting, however many the others have: it is not closed because of them alone. */
const FREE_BYTES = 4 * 1024;
/** One sensor or bridge may have this part of the bytes that all may have, over all its connections. */
const SHARE = 1 / 16;

/** What one sensor or bridge holds, and who waits until that is less. */
interface Held {
  publishBytes: number;
  waitingBytes: number;
  readonly waiters: Set<() => void>;
}

/**
 * The room that all clients share: publishes on their way from a socket to the queue's confirm, and bytes that wait for
 * that room. Of the bytes no sensor or bridge (`who`) has more than its share, so that there is room beside one that
 * hoards. A client that finds no room registers a callback. When there is room, callbacks are called in the order of
 * registration.
 */
export class MemoryBudget {
  private readonly limits: IntakeLimits;
  private readonly waiters = new Set<() => void>();
  /** Of those that hold something, or wait. */
  private readonly shares = new Map<string, Held>();
  private publishes = 0;
  private bytes = 0;
  private waiting = 0;
  private calling = false;

  constructor(limits: IntakeLimits) {
    this.limits = limits;
  }

  /** What is held now: publishes that are not confirmed, their bytes, and bytes that wait for room. */
  get held(): { readonly publishes: number; readonly publishBytes: number; readonly waitingBytes: number } {
    return { publishes: this.publishes, publishBytes: this.bytes, waitingBytes: this.waiting };
  }

  /** Of how many sensors and bridges something is held. */
  get sharing(): number {
    return this.shares.size;
  }

  get full(): boolean {
    return this.publishes >= this.limits.publishes || this.bytes >= this.limits.publishBytes;
  }

  /** Takes room for one publish of `bytes`; false when there is none. A limit is exceeded by one publish at most. */
  take(bytes: number, who: string): boolean {
    if (this.full || this.hasShare(who)) return false;
    this.publishes += 1;
    this.bytes += bytes;
    this.shareOf(who).publishBytes += bytes;
    return true;
  }

  give(bytes: number, who: string): void {
    this.publishes -= 1;
    this.bytes -= bytes;
    const share = this.shareOf(who);
    share.publishBytes -= bytes;
    if (share.waiters.size > 0 && !this.hasShare(who)) {
      // They wait for the room of all from now on, as the others do.
      for (const go of share.waiters) this.waiters.add(go);
      share.waiters.clear();
    }
    this.forgetEmpty(who, share);
    if (this.waiters.size > 0 && !this.calling) {
      this.calling = true;
      setImmediate(() => this.callNext());
    }
  }

  /**
   * Counts bytes that wait for room; `who` is undefined while that is not known. False when too many wait, of all or of
   * this sensor, and too many of this client (`ofClient`) are among them.
   */
  addWaiting(bytes: number, ofClient: number, who?: string): boolean {
    const { waitingBytes: most } = this.limits;
    this.waiting += bytes;
    let ofSensor = 0;
    if (who !== undefined && bytes > 0) {
      const share = this.shareOf(who);
      share.waitingBytes += bytes;
      ofSensor = share.waitingBytes;
    }
    return (this.waiting <= most && ofSensor <= most * SHARE) || ofClient <= FREE_BYTES;
  }

  removeWaiting(bytes: number, who?: string): void {
    this.waiting -= bytes;
    if (who === undefined || bytes === 0) return;
    const share = this.shareOf(who);
    share.waitingBytes -= bytes;
    this.forgetEmpty(who, share);
  }

  whenRoom(go: () => void, who: string): void {
    if (this.hasShare(who)) this.shareOf(who).waiters.add(go);
    else this.waiters.add(go);
  }

  cancelWait(go: () => void, who: string): void {
    this.waiters.delete(go);
    const share = this.shares.get(who);
    share?.waiters.delete(go);
    if (share) this.forgetEmpty(who, share);
  }

  /** Whether its publishes hold as many bytes as one may. */
  private hasShare(who: string): boolean {
    return (this.shares.get(who)?.publishBytes ?? 0) >= this.limits.publishBytes * SHARE;
  }

  private shareOf(who: string): Held {
    const known = this.shares.get(who);
    if (known) return known;
    const share = { publishBytes: 0, waitingBytes: 0, waiters: new Set<() => void>() };
    this.shares.set(who, share);
    return share;
  }

  private forgetEmpty(who: string, { publishBytes, waitingBytes, waiters }: Held): void {
    if (publishBytes === 0 && waitingBytes === 0 && waiters.size === 0) this.shares.delete(who);
  }

  private callNext(): void {
    this.calling = false;
    // A callback that finds no room registers again, at the end. Iterating over a copy keeps this loop from never ending.
    for (const go of [...this.waiters]) {
      if (this.full) return;
      this.waiters.delete(go);
      go();
    }
  }
}
