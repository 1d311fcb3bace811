import type { BeatNote, DoneNote, RunState } from './notes.ts';
import { type NumberRange, NumberRanges } from './number-ranges.ts';

/** The queues of batches: that of the broker, the slow one, and the one for what a doubted clock dates. */
export type AccountedQueue = 'queue' | 'slow' | 'undated';

/** Which entrance puts batches into a queue beside the broker's. */
const SIDE_QUEUES: Readonly<Record<string, AccountedQueue>> = { worker: 'slow', undated: 'undated' };

/** With more gaps than this between the numbers of a run, the oldest gap is given up as unknown. */
const MOST_RANGES = 10_000;
/** Of a run's numbers that is kept for the next follower. */
const MOST_KEPT = 200;

interface SuspectRange extends NumberRange {
  readonly since: number;
  /** When it was clear that the queue has come past it; undefined while that is not. */
  readonly passed: number | undefined;
}

/** What is known elsewhere of what may be missing from a run. */
export interface Surroundings {
  readonly now: number;
  /** What is in somebody's hands. */
  readonly held: Iterable<NumberRange>;
  /** The queue has come so far that nothing of the run is before it any more. */
  readonly isPassed: boolean;
  /** A worker is silent, and may have what is missing. */
  readonly isAnybodySilent: boolean;
  /** What was suspect at this time, the queue has come past since then. */
  readonly movedPast: number;
  /** When a worker was gone last: what it held is in the queue again. */
  readonly goneAt: number;
}

export interface LostRange extends NumberRange {
  readonly at: number;
}

/**
 * What is known of the batches of one run: which of them are confirmed, and which need no more attention (worked off, given up,
 * lost, or unknown). Times are those of `BatchAccount`.
 */
export class RunAccount {
  readonly run: string;
  /** When it was heard of last; and which of all notes was the last of its entrance. */
  heard = 0;
  beatAs = 0;
  /** The number of the note with which it began; 0 when it began before the follower did. */
  begunAs = 0;
  /** The highest number that a worker has had. */
  taken = 0;
  /** Numbers whose fate will not be known. */
  unknown = 0;
  private readonly settled = new NumberRanges();
  private entranceName = '';
  private given = 0;
  private confirmed = 0;
  private inSpool = 0;
  /**
   * When a line breaks, some batches go to the spool, and some with higher numbers have reached the queue. So up to the number that was
   * given last while something was in the spool, order says nothing.
   */
  private mixed = 0;
  private highestDone = 0;
  private beats = 0;
  /** Of a run of which notes were missed: what was confirmed when it was heard again. */
  private unheardTo: number | undefined;
  private suspects: readonly SuspectRange[] = [];
  private lostRanges: readonly LostRange[] = [];

  constructor(run: string) {
    this.run = run;
  }

  get entrance(): string {
    return this.entranceName;
  }

  /** Where its batches are. What is in one queue is not in one line with what is in another. */
  get queue(): AccountedQueue {
    return SIDE_QUEUES[this.entranceName] ?? 'queue';
  }

  get isWorkedOn(): boolean {
    return this.highestDone > 0;
  }

  get suspected(): number {
    return countOf(this.suspects);
  }

  get lost(): readonly LostRange[] {
    return this.lostRanges;
  }

  /** Whether nothing of it is open, as far as is known. */
  get isComplete(): boolean {
    return this.beats < 2 || this.settled.missing(1, this.confirmed).length === 0;
  }

  /** Returns how many of the numbers had been called lost. */
  heardDone({ done, confirmed }: Pick<DoneNote, 'done' | 'confirmed'>): number {
    this.confirmed = Math.max(this.confirmed, confirmed);
    let found = 0;
    for (const { from, to } of done) {
      this.settled.add(from, to);
      this.highestDone = Math.max(this.highestDone, to);
      found += this.foundAgain(from, to);
    }
    this.bound();
    return found;
  }

  /**
   * A run whose first beat is heard before its first batch is counted from 1. Of another one batches were worked off before the follower
   * began; all of them had their numbers when the second beat was sent, for it was sent after the first one was there to be heard.
   */
  heardBeat(beat: BeatNote, noteNumber: number): void {
    this.beatAs = noteNumber;
    this.entranceName = beat.entrance;
    this.given = Math.max(this.given, beat.given);
    this.inSpool = beat.spooled;
    if (beat.spooled > 0) this.mixed = Math.max(this.mixed, beat.given);
    if (this.beats === 0 && beat.given === 0) {
      this.beats = 2;
      this.begunAs = noteNumber;
    } else if (this.beats < 2) {
      this.beats += 1;
      if (this.beats === 1 && this.unheardTo !== undefined) this.unheardTo = beat.confirmed;
      if (this.beats === 2) this.countAnew();
    }
    this.settled.addAll(beat.gaveUp);
    this.confirmed = Math.max(this.confirmed, beat.confirmed);
    this.bound();
  }

  /**
   * Notes were missed: what is open is unknown from now on, and so is what was confirmed until the next beat and is not worked off at the one
   * after that. The run is counted again from there.
   */
  missed(): void {
    if (this.beats === 2) {
      this.unheardTo = Math.max(this.confirmed, this.highestDone);
      this.giveUp(this.unheardTo);
    }
    this.beats = 0;
    this.suspects = [];
  }

  /**
   * Looks at what is confirmed, not worked off and held by nobody, where the queue has come past it: all of the run, when it is passed; otherwise
   * what is below the highest number that was worked off. While somebody is silent, what is suspect grows no older.
   */
  suspect({ now, held, isPassed, isAnybodySilent, movedPast, goneAt }: Surroundings): void {
    const isInOrder = this.highestDone > this.mixed;
    const end = Math.min(this.confirmed, isPassed ? this.confirmed : isInOrder ? this.highestDone - 1 : 0);
    if (this.beats < 2 || this.inSpool > 0 || end < 1) {
      this.suspects = [];
      return;
    }
    const open = new NumberRanges(this.settled.missing(1, end));
    if (open.size > 0) for (const { from, to } of held) open.remove(from, to);
    this.suspects = withSince(open.list(), isAnybodySilent ? [] : this.suspects, now).map((range) => {
      if (range.passed !== undefined && range.passed > goneAt) return range;
      return { ...range, passed: Math.max(range.since, goneAt) <= movedPast ? now : undefined };
    });
  }

  /** Calls lost what has been suspect since `since`, and passed since `passed`, or for longer. Returns the ranges. */
  lose(since: number, passed: number, now: number): LostRange[] {
    const isOver = (range: SuspectRange) =>
      range.since <= since && range.passed !== undefined && range.passed <= passed;
    const lost = this.suspects.filter(isOver).map(({ from, to }) => ({ from, to, at: now }));
    if (lost.length === 0) return [];
    this.settled.addAll(lost);
    this.suspects = this.suspects.filter((range) => !isOver(range));
    this.lostRanges = [...this.lostRanges, ...lost].slice(-MOST_KEPT);
    return lost;
  }

  /** Forgets what was lost before. */
  forgetLost(before: number): void {
    if (this.lostRanges.some(({ at }) => at < before)) {
      this.lostRanges = this.lostRanges.filter(({ at }) => at >= before);
    }
  }

  state(now: number): RunState {
    const { run, entranceName: entrance, given, confirmed, inSpool: spooled, mixed, beats } = this;
    const { highestDone: done, begunAs, beatAs } = this;
    const settled = new NumberRanges(this.settled.list());
    while (settled.size > MOST_KEPT) closeLowestGap(settled);
    const lost = this.lostRanges.map(({ from, to, at }) => ({ from, to, agoMs: Math.max(0, now - at) }));
    const seen = { given, confirmed, spooled, mixed, done, begunAs, beatAs, beats };
    return { run, entrance, ...seen, settled: [...settled.list()], lost };
  }

  restore(state: RunState, now: number): void {
    this.entranceName = state.entrance;
    this.given = state.given;
    this.confirmed = state.confirmed;
    this.inSpool = state.spooled;
    this.mixed = state.mixed;
    this.begunAs = state.begunAs;
    this.beatAs = state.beatAs;
    this.highestDone = state.done;
    this.taken = state.done;
    this.beats = state.beats;
    this.settled.addAll(state.settled);
    this.lostRanges = state.lost.map(({ from, to, agoMs }) => ({ from, to, at: now - agoMs }));
  }

  private foundAgain(from: number, to: number): number {
    if (!this.lostRanges.some((range) => range.from <= to && from <= range.to)) return 0;
    let found = 0;
    this.lostRanges = this.lostRanges.flatMap(({ at, ...range }) => {
      const left = new NumberRanges([range]);
      found += left.remove(from, to);
      return left.list().map((part) => ({ ...part, at }));
    });
    return found;
  }

  private countAnew(): void {
    if (this.unheardTo !== undefined) this.giveUp(this.unheardTo);
    this.unheardTo = undefined;
    this.settled.add(1, this.given);
  }

  /** What is open up to this number needs no more attention: nobody will know of it. */
  private giveUp(to: number): void {
    this.unknown += countOf(this.settled.missing(1, to));
    this.settled.add(1, to);
  }

  private bound(): void {
    while (this.settled.size > MOST_RANGES) this.unknown += closeLowestGap(this.settled);
  }
}

export function countOf(ranges: readonly NumberRange[]): number {
  return ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
}

/** Returns how many numbers were in the gap. */
function closeLowestGap(numbers: NumberRanges): number {
  const [first, second] = numbers.list();
  const from = first && first.from <= 1 ? first.to + 1 : 1;
  const to = first && first.from > 1 ? first.from - 1 : (second?.from ?? 0) - 1;
  numbers.add(from, to);
  return Math.max(0, to - from + 1);
}

/** Ranges in parts: those that were suspect before have been since then, the others are from `now` on. Both lists are in order. */
function withSince(ranges: readonly NumberRange[], before: readonly SuspectRange[], now: number): SuspectRange[] {
  const parts: SuspectRange[] = [];
  let i = 0;
  for (const { from, to } of ranges) {
    let next = from;
    for (let old = before[i]; old && old.from <= to; old = before[i]) {
      if (old.from > next) parts.push({ from: next, to: old.from - 1, since: now, passed: undefined });
      const begin = Math.max(next, old.from);
      const end = Math.min(to, old.to);
      if (begin <= end) parts.push({ ...old, from: begin, to: end });
      next = Math.max(next, end + 1);
      // One that reaches beyond this range may reach into the next.
      if (old.to > to) break;
      i += 1;
    }
    if (next <= to) parts.push({ from: next, to, since: now, passed: undefined });
  }
  return parts;
}
