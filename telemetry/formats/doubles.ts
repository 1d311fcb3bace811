/** Called for a value that is refused, with the value that it would have overwritten. */
export type OnDouble = (metric: string, other: number) => void;

/**
 * The values of one payload by their times. Of two values with one metric and time, one would overwrite the other in
 * the store. The first is kept and the other refused, unless they are equal. The payload's size bounds the memory.
 */
export class Doubles {
  private readonly seen = new Map<number, Map<string, number>>();

  /** The values of a reading that overwrite no other; undefined when none is left. */
  single(
    ts: number,
    values: Readonly<Record<string, number>>,
    refuse: OnDouble,
  ): Readonly<Record<string, number>> | undefined {
    const before = this.seen.get(ts);
    if (!before) {
      this.seen.set(ts, new Map(Object.entries(values)));
      return values;
    }
    const single = Object.entries(values).filter(([metric, value]) => {
      const other = before.get(metric);
      if (other !== undefined && other !== value) {
        refuse(metric, other);
        return false;
      }
      before.set(metric, value);
      return true;
    });
    return single.length === 0 ? undefined : Object.fromEntries(single);
  }
}
