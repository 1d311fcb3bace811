import type { BrokerLimits } from '../limits.ts';

type IntakeLimits = Pick<BrokerLimits, 'publishes' | 'publishBytes' | 'waitingBytes'>;

/** So much may wait of every client, however much waits of the others: nobody is closed for their sake. */
const FREE_BYTES = 4 * 1024;

/**
 * The room that all clients share: publishes on their way from a socket to the queue's confirm, and bytes waiting in front of it.
 * Who finds no room registers and is called in the order of registration when there is some again.
 */
export class MemoryBudget {
  private readonly limits: IntakeLimits;
  private readonly inLine = new Set<() => void>();
  private publishes = 0;
  private bytes = 0;
  private waiting = 0;
  private calling = false;

  constructor(limits: IntakeLimits) {
    this.limits = limits;
  }

  /** What is in it now: publishes without their confirm, their bytes, and bytes that wait in front. */
  get held(): { readonly publishes: number; readonly publishBytes: number; readonly waitingBytes: number } {
    return { publishes: this.publishes, publishBytes: this.bytes, waitingBytes: this.waiting };
  }

  get full(): boolean {
    return this.publishes >= this.limits.publishes || this.bytes >= this.limits.publishBytes;
  }

  /** Takes room for one publish of `bytes`; false when there is none. A bound is overstepped by one publish at most. */
  take(bytes: number): boolean {
    if (this.full) return false;
    this.publishes += 1;
    this.bytes += bytes;
    return true;
  }

  give(bytes: number): void {
    this.publishes -= 1;
    this.bytes -= bytes;
    if (this.inLine.size > 0 && !this.calling) {
      this.calling = true;
      setImmediate(() => this.callNext());
    }
  }

  /** Counts bytes that wait for room; false when there are too many and it is not a small client, with `ofClient` waiting, that brings them. */
  addWaiting(bytes: number, ofClient: number): boolean {
    this.waiting += bytes;
    return this.waiting <= this.limits.waitingBytes || ofClient <= FREE_BYTES;
  }

  removeWaiting(bytes: number): void {
    this.waiting -= bytes;
  }

  whenRoom(go: () => void): void {
    this.inLine.add(go);
  }

  leaveLine(go: () => void): void {
    this.inLine.delete(go);
  }

  private callNext(): void {
    this.calling = false;
    // Those who find no room again register again, at the end: the copy keeps this from going round for ever.
    for (const go of [...this.inLine]) {
      if (this.full) return;
      this.inLine.delete(go);
      go();
    }
  }
}
