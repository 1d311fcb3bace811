import type { Reading } from '../../telemetry/reading.ts';

/**
 * The readings announced last. A worker announces without waiting for the store, so the newest ones may not be in it yet:
 * what the store says of a farm is folded with these.
 */
export class RecentReadings {
  private entries: (readonly Reading[])[] = [];
  private begin = 0;
  private size = 0;
  private readonly limit: number;

  constructor(limit: number) {
    this.limit = limit;
  }

  add(readings: readonly Reading[]): void {
    this.entries.push(readings);
    this.size += readings.length;
    while (this.size > this.limit) {
      this.size -= this.entries[this.begin]?.length ?? 0;
      this.begin++;
    }
    // Taking from the front one by one would move the whole list each time.
    if (this.begin > 1000 && this.begin * 2 > this.entries.length) {
      this.entries = this.entries.slice(this.begin);
      this.begin = 0;
    }
  }

  *of(farm: string): Generator<Reading> {
    for (let i = this.begin; i < this.entries.length; i++) {
      for (const reading of this.entries[i] ?? []) if (reading.farm === farm) yield reading;
    }
  }
}
