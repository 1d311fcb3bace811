/** Whole numbers from <= n <= to. */
export interface NumberRange {
  readonly from: number;
  readonly to: number;
}

/** A set of whole numbers as ranges: it takes room for each gap, and none for each number. */
export class NumberRanges {
  /** In order, and no two of them touch. */
  private ranges: NumberRange[] = [];

  constructor(ranges: Iterable<NumberRange> = []) {
    for (const { from, to } of ranges) this.add(from, to);
  }

  /** How many ranges there are. */
  get size(): number {
    return this.ranges.length;
  }

  /** How many numbers there are. */
  get count(): number {
    return this.ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
  }

  get highest(): number | undefined {
    return this.ranges.at(-1)?.to;
  }

  list(): readonly NumberRange[] {
    return this.ranges;
  }

  has(number: number): boolean {
    const range = this.ranges[this.firstEndingAt(number)];
    return range !== undefined && range.from <= number;
  }

  /** Whether any of the numbers `from` to `to` is in. */
  overlaps(from: number, to: number): boolean {
    const range = this.ranges[this.firstEndingAt(from)];
    return from <= to && range !== undefined && range.from <= to;
  }

  /** Adds the numbers `from` to `to`; nothing when `to` is below `from`. */
  add(from: number, to = from): void {
    if (to < from) return;
    // Those that it overlaps or touches become one with it.
    const first = this.firstEndingAt(from - 1);
    let end = first;
    let low = from;
    let high = to;
    for (let range = this.ranges[end]; range && range.from <= to + 1; range = this.ranges[end]) {
      low = Math.min(low, range.from);
      high = Math.max(high, range.to);
      end += 1;
    }
    this.ranges.splice(first, end - first, { from: low, to: high });
  }

  addAll(ranges: Iterable<NumberRange>): void {
    for (const { from, to } of ranges) this.add(from, to);
  }

  /** Takes the numbers `from` to `to` out. Returns how many were in. */
  remove(from: number, to = from): number {
    if (to < from) return 0;
    const kept: NumberRange[] = [];
    let removed = 0;
    let end = this.firstEndingAt(from);
    const first = end;
    for (let range = this.ranges[end]; range && range.from <= to; range = this.ranges[end]) {
      if (range.from < from) kept.push({ from: range.from, to: from - 1 });
      if (range.to > to) kept.push({ from: to + 1, to: range.to });
      removed += Math.min(range.to, to) - Math.max(range.from, from) + 1;
      end += 1;
    }
    if (end > first) this.ranges.splice(first, end - first, ...kept);
    return removed;
  }

  /** The numbers `from` to `to` that are not in. */
  missing(from: number, to: number): NumberRange[] {
    const missing: NumberRange[] = [];
    let next = from;
    for (let i = this.firstEndingAt(from); next <= to; i++) {
      const range = this.ranges[i];
      if (!range || range.from > to) break;
      if (range.from > next) missing.push({ from: next, to: range.from - 1 });
      next = range.to + 1;
    }
    if (next <= to) missing.push({ from: next, to });
    return missing;
  }

  /** The last number of the range that `number` is in; undefined when it is in none. */
  endOf(number: number): number | undefined {
    const range = this.ranges[this.firstEndingAt(number)];
    return range && range.from <= number ? range.to : undefined;
  }

  /** The place of the first range that ends at `number` or after it. */
  private firstEndingAt(number: number): number {
    let low = 0;
    let high = this.ranges.length;
    // Nearly always what is asked for is at the end.
    const last = this.ranges.at(-1);
    if (!last || last.to < number) return high;
    while (low < high) {
      const middle = (low + high) >> 1;
      if ((this.ranges[middle]?.to ?? 0) < number) low = middle + 1;
      else high = middle;
    }
    return low;
  }
}
