/** Times in whole ms, counted, with their percentiles. */
export class Times {
  private counts: number[] = [];
  count = 0;

  add(ms: number): void {
    const at = Math.max(0, Math.round(ms));
    this.counts[at] = (this.counts[at] ?? 0) + 1;
    this.count++;
  }

  clear(): void {
    this.counts = [];
    this.count = 0;
  }

  percentiles(): { p50Ms: number; p99Ms: number; maxMs: number } {
    return percentilesOf(this.counts);
  }
}

/** Of times that are counted by ms; -1 when there are none. */
export function percentilesOf(counts: readonly (number | undefined)[]): {
  p50Ms: number;
  p99Ms: number;
  maxMs: number;
} {
  return { p50Ms: percentile(counts, 0.5), p99Ms: percentile(counts, 0.99), maxMs: counts.length - 1 };
}

function percentile(counts: readonly (number | undefined)[], share: number): number {
  const total = counts.reduce<number>((sum, count) => sum + (count ?? 0), 0);
  let seen = 0;
  return counts.findIndex((count) => {
    seen += count ?? 0;
    return seen >= total * share;
  });
}
