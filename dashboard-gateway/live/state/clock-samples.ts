import { msOf, subOf } from '../../../telemetry/instant.ts';
import type { Reading } from '../../../telemetry/reading.ts';

/** Most samples kept of a sensor: enough to tell a clock that is wrong from readings that were kept back. */
export const MOST_SAMPLES = 12;
/** Once there are so many, of three samples within this time the middle one is left out, ms. */
const QUICK_MS = 500;

/** What one receipt says of a sensor's clock. */
export interface ClockSample {
  /** The receipt, an instant. */
  readonly at: number;
  /** How far the newest time that the device told was ahead of the receipt, ms; below 0 when it was behind. */
  readonly aheadMs: number;
  /** What the registry corrected of that time, ms; undefined when the receipt took its place. */
  readonly correctedMs: number | undefined;
}

/** The latest samples of one sensor, oldest first. They may come in any order. */
export class ClockSamples {
  private readonly kept: ClockSample[] = [];
  private changes = 0;

  /** Another number after each change. */
  get version(): number {
    return this.changes;
  }

  get list(): readonly ClockSample[] {
    return this.kept;
  }

  add(sample: ClockSample): void {
    const { kept } = this;
    this.changes += 1;
    let place = kept.length;
    while (place > 0 && (kept[place - 1]?.at ?? 0) > sample.at) place -= 1;
    const same = kept[place - 1];
    if (same?.at === sample.at) {
      // Of what came at once the older readings had been kept back: the newest shows the clock.
      if (sample.aheadMs > same.aheadMs) kept[place - 1] = sample;
      return;
    }
    if (kept.length < MOST_SAMPLES) kept.splice(place, 0, sample);
    else if (place > 0) this.takeInPlaceOfAnother(sample, place);
  }

  /** In place of the oldest; of what comes in quick succession in place of the last, or samples would show a moment only. */
  private takeInPlaceOfAnother(sample: ClockSample, place: number): void {
    const { kept } = this;
    const isQuick = place === kept.length && (kept[place - 2]?.at ?? 0) > sample.at - QUICK_MS;
    kept.splice(place, 0, sample);
    kept.splice(isQuick ? place - 1 : 0, 1);
  }
}

/** What a reading says of its sensor's clock; undefined when its device told no time, or told it as a span before the receipt. */
export function sampleOf(reading: Omit<Reading, 'farm' | 'values'>): ClockSample | undefined {
  const { ts, received, deviceTs } = reading;
  if (deviceTs !== undefined) {
    const correctedMs = isOfReceipt(reading) ? undefined : ts - deviceTs;
    return { at: received, aheadMs: deviceTs - msOf(received), correctedMs };
  }
  if (ts === received || subOf(ts) !== 0) return undefined;
  return { at: received, aheadMs: ts - msOf(received), correctedMs: 0 };
}

/**
 * Whether a reading whose device told another time is dated by its receipt: it has the receipt's count then. A payload's
 * newest is, if any of it is.
 */
export function isOfReceipt({ ts, received }: Pick<Reading, 'ts' | 'received'>): boolean {
  return subOf(ts) === subOf(received) && Math.abs(msOf(received) - msOf(ts)) <= 1;
}

/** Two lists of samples, each as `ClockSamples` has it, as one. */
export function joined(some: readonly ClockSample[], others: readonly ClockSample[]): readonly ClockSample[] {
  if (some.length === 0 || others.length === 0) return some.length === 0 ? others : some;
  const all = new ClockSamples();
  for (const sample of [...some, ...others]) all.add(sample);
  return all.list;
}
