interface RateStep {
  /** When it begins, ms after the start, and how many publishes were due by then. */
  readonly at: number;
  readonly before: number;
  /** Publishes a ms at its beginning, and by how much that grows each ms. */
  readonly rate: number;
  readonly growth: number;
}

/**
 * When each publish of an open loop is due. Publishes are numbered from 0. They are due one after another, whether or
 * not the last one was acknowledged: a late publish is late from its own due time on. Times are ms after the start.
 */
export class Schedule {
  private readonly stretches: RateStep[] = [];

  /** `rate` publishes a second, after rising to it evenly for `rampMs`. */
  constructor(rate: number, rampMs = 0) {
    if (rampMs > 0) this.add({ at: 0, before: 0, rate: 0, growth: rate / 1_000 / rampMs });
    this.add({ at: rampMs, before: (rate / 1_000) * (rampMs / 2), rate: rate / 1_000, growth: 0 });
  }

  /** From `at` on the rate is `rate` a second; earlier due times stay. `at` must not lie before an earlier change. */
  change(at: number, rate: number): void {
    this.add({ at, before: this.countAt(at), rate: rate / 1_000, growth: 0 });
  }

  /** How many publishes are due by `ms`. */
  dueBy(ms: number): number {
    // Rounding must not make a publish due a moment after `dueAt` said it would be.
    return ms < 0 ? 0 : Math.floor(this.countAt(ms) + 1e-6);
  }

  /** When publish `k` is due. */
  dueAt(k: number): number {
    const { at, before, rate, growth } = this.stretch((stretch) => stretch.before < k + 1);
    const more = k + 1 - before;
    if (growth === 0) return at + more / rate;
    return at + (Math.sqrt(rate * rate + 2 * growth * more) - rate) / growth;
  }

  private countAt(ms: number): number {
    const { at, before, rate, growth } = this.stretch((stretch) => stretch.at <= ms);
    const passed = ms - at;
    return before + passed * (rate + (growth * passed) / 2);
  }

  /** The last step for which `holds` is true; the first step when there is none. */
  private stretch(holds: (stretch: RateStep) => boolean): RateStep {
    for (let i = this.stretches.length - 1; i > 0; i--) {
      const stretch = this.stretches[i];
      if (stretch && holds(stretch)) return stretch;
    }
    const [first] = this.stretches;
    if (!first) throw new Error('a schedule has at least one stretch');
    return first;
  }

  private add(stretch: RateStep): void {
    this.stretches.push(stretch);
  }
}
