import { RECORD_BYTES } from './format.ts';
import type { SegmentFile } from './segment-file.ts';
import type { Segments } from './segments.ts';

/** What is not done of one segment's messages. */
interface Open {
  /** One bit a number, from the header's `first` on: done, or not there. */
  done: Uint8Array;
  messages: number;
  bytes: number;
}

/** Which of a queue's messages are not done, by segment: a bit for each, and exact sums. */
export class Unfinished {
  private readonly segments: Segments;
  private readonly opens = new Map<SegmentFile, Open>();
  /** Messages that could not be read; they are left alone until the next start. */
  private readonly skipped = new Set<number>();
  messages = 0;
  bytes = 0;

  /** `done`: from one number to another, both included. */
  constructor(segments: Segments, done: Iterable<readonly [number, number]>) {
    this.segments = segments;
    const all = segments.all();
    for (const segment of all) this.opens.set(segment, { done: new Uint8Array(0), messages: 0, bytes: 0 });
    const touched = new Set<SegmentFile>();
    for (const [from, to] of done) {
      for (const segment of all) {
        const [first, last] = [Math.max(from, segment.header.first), Math.min(to, segment.summary.last)];
        if (first > last) continue;
        touched.add(segment);
        const open = this.openOf(segment);
        for (let number = first; number <= last; number++) setBit(open, number - segment.header.first);
      }
    }
    for (const segment of all) this.count(segment, touched.has(segment));
  }

  /** To be called when these were added to the last segment. */
  added(messages: number, bytes: number): void {
    const { last } = this.segments;
    if (last === undefined) return;
    this.change(this.openOf(last), messages, bytes);
  }

  /** Marks a message as done, when it is there and is not; `bytes` is its body's length. */
  finish(number: number, bytes: number): void {
    const segment = this.segmentOf(number);
    if (segment === undefined || !this.has(number)) return;
    const open = this.openOf(segment);
    setBit(open, number - segment.header.first);
    // Of the last one nothing is left, whatever the lengths of damaged records were taken for.
    this.change(open, -1, open.messages === 1 ? -open.bytes : -bytes);
  }

  /** The next attempt to read this message is made after the next start. */
  skip(number: number): void {
    this.skipped.add(number);
  }

  /** Whether the message is not done. */
  has(number: number): boolean {
    const segment = this.segmentOf(number);
    return segment !== undefined && !hasBit(this.openOf(segment), number - segment.header.first);
  }

  /** Whether the message is not done and can be read, as far as that is known. */
  isReadable(number: number): boolean {
    return this.has(number) && !this.skipped.has(number);
  }

  /** The first that is not done behind `number`, up to `last`. */
  after(number: number, last = Number.POSITIVE_INFINITY): number | undefined {
    for (const segment of this.segments.all()) {
      const open = this.openOf(segment);
      if (segment.summary.last <= number || open.messages === 0) continue;
      const end = Math.min(segment.summary.last, last);
      for (let next = Math.max(number + 1, segment.summary.first); next <= end; next++) {
        if (!hasBit(open, next - segment.header.first) && !this.skipped.has(next)) return next;
      }
    }
    return undefined;
  }

  /** How many messages of a segment are not done, and their bytes. */
  of(segment: SegmentFile): { readonly messages: number; readonly bytes: number } {
    return this.openOf(segment);
  }

  /** To be called when the segment is gone. */
  forget(segment: SegmentFile): void {
    this.opens.delete(segment);
  }

  /** What is done of the segments that are there, from one number to another: at most one more than is not done, a segment. */
  *done(): Iterable<readonly [number, number]> {
    for (const segment of this.segments.all()) {
      const open = this.openOf(segment);
      let from: number | undefined;
      for (let number = segment.header.first; number <= segment.summary.last; number++) {
        if (!hasBit(open, number - segment.header.first)) {
          if (from !== undefined) yield [from, number - 1];
          from = undefined;
        } else from ??= number;
      }
      if (from !== undefined) yield [from, segment.summary.last];
    }
  }

  private count(segment: SegmentFile, isTouched: boolean): void {
    const { count, bytes, first, last, end } = segment.summary;
    const open = this.openOf(segment);
    const places = isTouched || count < last - first + 1 ? indexOf(segment) : undefined;
    if (places === undefined) {
      this.change(open, count, bytes);
      return;
    }
    let next = end;
    for (let i = places.length - 1; i >= 0; i--) {
      const at = places[i] ?? 0;
      const bit = first + i - segment.header.first;
      if (at === 0) setBit(open, bit);
      else {
        if (!hasBit(open, bit)) this.change(open, 1, next - at - RECORD_BYTES);
        next = at;
      }
    }
    segment.letGo();
  }

  private change(open: Open, messages: number, bytes: number): void {
    open.messages += messages;
    open.bytes += bytes;
    this.messages += messages;
    this.bytes += bytes;
  }

  private segmentOf(number: number): SegmentFile | undefined {
    return this.segments.all().find(({ summary }) => summary.first <= number && number <= summary.last);
  }

  private openOf(segment: SegmentFile): Open {
    const known = this.opens.get(segment);
    if (known !== undefined) return known;
    const open = { done: new Uint8Array(0), messages: 0, bytes: 0 };
    this.opens.set(segment, open);
    return open;
  }
}

/** Undefined when the file system does not give it: then nobody knows how many of the segment's messages are done. */
function indexOf(segment: SegmentFile): ArrayLike<number> | undefined {
  try {
    return segment.index();
  } catch {
    return undefined;
  }
}

function hasBit({ done }: Open, bit: number): boolean {
  return ((done[bit >> 3] ?? 0) & (1 << (bit & 7))) !== 0;
}

function setBit(open: Open, bit: number): void {
  if (bit >> 3 >= open.done.length) {
    const longer = new Uint8Array(Math.max(64, 2 * ((bit >> 3) + 1)));
    longer.set(open.done);
    open.done = longer;
  }
  open.done[bit >> 3] = (open.done[bit >> 3] ?? 0) | (1 << (bit & 7));
}
