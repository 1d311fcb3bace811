import { EncodingInvalid } from '../../core/errors.ts';
import { type DeadLetter, decodeDead } from '../../telemetry/batch.ts';
import { type DeadAct, type DeadMark, decodeMark } from '../../telemetry/dead-letter-mark.ts';

export type LetterState = 'open' | DeadAct;

/** A letter in the dead-letter index. Its bytes stay in the log. */
export interface IndexedLetter {
  readonly offset: number;
  readonly at: number;
  readonly farm: string;
  readonly sensor: string;
  readonly reason: string;
  state: LetterState;
  settled: { readonly at: number; readonly by: string } | undefined;
}

export interface Filter {
  readonly state: LetterState | 'all';
  readonly sensor?: string | undefined;
  readonly reason?: string | undefined;
  /** Only letters with a smaller offset. */
  readonly before?: number | undefined;
  readonly limit: number;
}

export interface Summary {
  readonly counts: Record<LetterState, number>;
  /** Open letters by reason. */
  readonly reasons: Record<string, number>;
}

/** Most letters in the index. At one more, the sensor with the most letters loses its older half: in the index, not in the log. */
const MOST_LETTERS = 300_000;
/** Entries of the log whose bytes are added up in one segment. */
const SEGMENT = 1_000;
/** About how many bytes the log needs for an entry beside its body. */
const ENTRY_OVERHEAD = 32;

interface Segment {
  readonly oldest: number | undefined;
  last: number;
  entries: number;
  bytes: number;
}

/**
 * The dead-letter index: which letters the log has, whose they are, and whether they were replayed or discarded. It is
 * made by reading the log from its beginning.
 */
export class DeadLetterIndex {
  private readonly most: number;
  private byFarm = new Map<string, IndexedLetter[]>();
  private segments: Segment[] = [];
  private texts = new Map<string, string>();
  private size = 0;

  constructor(most = MOST_LETTERS) {
    this.most = most;
  }

  /** Empties the index, because the log is read from the beginning again. */
  clear(): void {
    this.byFarm = new Map();
    this.segments = [];
    this.texts = new Map();
    this.size = 0;
  }

  /** Takes in the next entry of the log. Returns its dead letter, or undefined when it is no letter. */
  take(offset: number, body: Uint8Array): DeadLetter | undefined {
    const letter = read(decodeDead, body);
    if (letter) {
      const { farm, sensor } = letter.publish;
      const { reason, at } = letter;
      const listed: IndexedLetter = {
        offset,
        at,
        farm: this.shared(farm),
        sensor: this.shared(sensor),
        reason: this.shared(reason),
        state: 'open',
        settled: undefined,
      };
      this.add(listed);
    }
    const mark = letter ? undefined : read(decodeMark, body);
    if (mark) this.settle(mark);
    this.account(offset, letter?.at ?? mark?.at, body.length);
    return letter;
  }

  /** Remembers that a letter was replayed or discarded. The latest mark counts. */
  settle({ farm, offset, act, by, at }: DeadMark): void {
    const listed = this.find(farm, offset);
    if (!listed) return;
    listed.state = act;
    listed.settled = { at, by };
  }

  find(farm: string, offset: number): IndexedLetter | undefined {
    const letters = this.byFarm.get(farm) ?? [];
    const found = letters[placeOf(letters, offset)];
    return found?.offset === offset ? found : undefined;
  }

  /** Newest first. `more`: there are older ones. */
  page(farm: string, { state, sensor, reason, before, limit }: Filter): { letters: IndexedLetter[]; more: boolean } {
    const all = this.byFarm.get(farm) ?? [];
    const letters: IndexedLetter[] = [];
    for (let i = before === undefined ? all.length - 1 : placeOf(all, before) - 1; i >= 0; i--) {
      const letter = all[i];
      if (!letter || (state !== 'all' && letter.state !== state)) continue;
      if (sensor !== undefined && letter.sensor !== sensor) continue;
      if (reason !== undefined && letter.reason !== reason) continue;
      if (letters.length === limit) return { letters, more: true };
      letters.push(letter);
    }
    return { letters, more: false };
  }

  summary(farm: string): Summary {
    const counts = { open: 0, replayed: 0, discarded: 0 };
    const reasons = new Map<string, number>();
    for (const { state, reason } of this.byFarm.get(farm) ?? []) {
      counts[state]++;
      if (state === 'open') reasons.set(reason, (reasons.get(reason) ?? 0) + 1);
    }
    return { counts, reasons: Object.fromEntries(reasons) };
  }

  /** Letters of all farms, by state. */
  totals(): Record<LetterState, number> {
    const totals = { open: 0, replayed: 0, discarded: 0 };
    for (const letters of this.byFarm.values()) for (const { state } of letters) totals[state]++;
    return totals;
  }

  /** About how many bytes the log keeps, and the time of its oldest entry (Unix ms). */
  get kept(): { bytes: number; oldest: number | undefined } {
    const bytes = this.segments.reduce((sum, segment) => sum + segment.bytes, 0);
    return { bytes, oldest: this.segments.find(({ oldest }) => oldest !== undefined)?.oldest };
  }

  /** Forgets the letters that the log has trimmed: those before offset `first`. Returns how many of them were open. */
  trim(first: number): number {
    const gone = this.segments.findIndex(({ last }) => last >= first);
    this.segments.splice(0, gone < 0 ? this.segments.length : gone);
    let open = 0;
    for (const [farm, letters] of this.byFarm) {
      const removed = letters.splice(0, placeOf(letters, first));
      this.size -= removed.length;
      open += removed.filter(({ state }) => state === 'open').length;
      if (letters.length === 0) this.byFarm.delete(farm);
    }
    return open;
  }

  private add(listed: IndexedLetter): void {
    const letters = this.byFarm.get(listed.farm) ?? [];
    letters.push(listed);
    this.byFarm.set(listed.farm, letters);
    this.size++;
    if (this.size > this.most) this.forgetSome();
  }

  private forgetSome(): void {
    const counts = new Map<string, { farm: string; sensor: string; count: number }>();
    for (const [farm, letters] of this.byFarm) {
      for (const { sensor } of letters) {
        const one = counts.get(`${farm}/${sensor}`) ?? { farm, sensor, count: 0 };
        one.count++;
        counts.set(`${farm}/${sensor}`, one);
      }
    }
    const [most] = [...counts.values()].sort((a, b) => b.count - a.count);
    if (!most) return;
    let forget = Math.ceil(most.count / 2);
    const kept = (this.byFarm.get(most.farm) ?? []).filter(({ sensor }) => sensor !== most.sensor || forget-- <= 0);
    this.size -= (this.byFarm.get(most.farm)?.length ?? 0) - kept.length;
    this.byFarm.set(most.farm, kept);
  }

  private account(offset: number, at: number | undefined, length: number): void {
    let segment = this.segments.at(-1);
    if (!segment || segment.entries >= SEGMENT) {
      segment = { oldest: at, last: offset, entries: 0, bytes: 0 };
      this.segments.push(segment);
    }
    segment.last = offset;
    segment.entries++;
    segment.bytes += length + ENTRY_OVERHEAD;
  }

  /** Returns one shared copy of equal texts. Decoding makes a new copy with every letter. */
  private shared(text: string): string {
    const known = this.texts.get(text);
    if (known !== undefined) return known;
    if (this.texts.size < this.most) this.texts.set(text, text);
    return text;
  }
}

/** The place of the first letter whose offset is `offset` or more. */
function placeOf(letters: readonly IndexedLetter[], offset: number): number {
  let low = 0;
  let high = letters.length;
  while (low < high) {
    const middle = (low + high) >>> 1;
    if ((letters[middle]?.offset ?? 0) < offset) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Undefined for an entry of the other kind or of another version. */
function read<T>(decode: (body: Uint8Array) => T, body: Uint8Array): T | undefined {
  try {
    return decode(body);
  } catch (error) {
    if (error instanceof EncodingInvalid) return undefined;
    throw error;
  }
}
