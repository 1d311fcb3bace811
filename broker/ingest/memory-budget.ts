import type { BrokerLimits } from '../limits.ts';

type IntakeLimits = Pick<BrokerLimits, 'publishes' | 'publishBytes' | 'waitingBytes'>;

/** Each client may have so many bytes waiting, however many the others have: it is not closed because of them alone. */
const FREE_BYTES = 4 * 1024;

/**
 * The room that all clients share: publishes on their way from a socket to the queue's confirm, and bytes that wait for
 * that room. A client that finds no room registers a callback. When there is room, callbacks are called in the order of
 * registration.
 */
export class MemoryBudget {
  private readonly limits: IntakeLimits;
  private readonly waiters = new Set<() => void>();
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

  get full(): boolean {
    return this.publishes >= this.limits.publishes || this.bytes >= this.limits.publishBytes;
  }

  /** Takes room for one publish of `bytes`; false when there is none. A limit is exceeded by one publish at most. */
  take(bytes: number): boolean {
    if (this.full) return false;
    this.publishes += 1;
    this.bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.publishes -= 1;
    this.bytes -= bytes;
    if (this.waiters.size > 0 && !this.calling) {
      this.calling = true;
      setImmediate(() => this.callNext());
    }
  }

  /** Counts bytes that wait for room. False when too many wait, and too many of this client (`ofClient`) are among them. */
  addWaiting(bytes: number, ofClient: number): boolean {
    this.waiting += bytes;
    return this.waiting <= this.limits.waitingBytes || ofClient <= FREE_BYTES;
  }

  removeWaiting(bytes: number): void {
    this.waiting -= bytes;
  }

  whenRoom(go: () => void): void {
    this.waiters.add(go);
  }

  cancelWait(go: () => void): void {
    this.waiters.delete(go);
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
