import { ConfigInvalid } from '../core/errors.ts';
import { microsOf } from '../telemetry/instant.ts';
import type { ImportPlan } from './import-plan.ts';
import type { CsvRow, RefusedLine } from './import-rows.ts';

/**
 * Most lines that repeat the time of an earlier line. With more, the lines kept below would need too much memory, and
 * the whole file is refused.
 */
const MOST_REPEATS = 100_000;
const LEAST_BITS = 2 ** 16;
const MOST_BITS = 2 ** 29;
const BITS_OF_A_BYTE = 8;
const HASHES = 3;

/**
 * The times that are on more than one line of a file with a value of the same metric: one of two such values would
 * overwrite the other. A first reading of the whole file finds them, whatever the order of its lines. A Bloom filter in
 * `bits` keeps the memory limited: it sets three bits for each value. So a time may be taken for repeated though it is
 * not, but never the other way round.
 */
export class RepeatedTimes {
  /** The number of the last line that was read. */
  lastLine = 0;
  private readonly bits: Uint32Array;
  private readonly mask: number;
  private readonly times = new Set<number>();
  private readonly columns = new Map<string, number>();
  private repeats = 0;
  private earliest = Number.POSITIVE_INFINITY;
  private latest = Number.NEGATIVE_INFINITY;

  /** `fileBytes` is the size of the file: the more values there can be, the more bits there are, up to 64 MiB. */
  constructor(fileBytes: number) {
    const wanted = 2 ** Math.ceil(Math.log2(Math.max(1, fileBytes * BITS_OF_A_BYTE)));
    const count = Math.min(MOST_BITS, Math.max(LEAST_BITS, wanted));
    this.bits = new Uint32Array(count / 32);
    this.mask = count - 1;
  }

  has(ts: number): boolean {
    return this.times.has(ts);
  }

  /** Looks at one line. Throws ConfigInvalid when more than `MOST_REPEATS` lines have the time of an earlier line. */
  look([line, ts, values]: CsvRow): void {
    let isRepeat = false;
    for (const name of Object.keys(values)) if (this.mark(ts, this.columnOf(name))) isRepeat = true;
    // A time before or after all earlier ones is certainly new, whatever the bits say. Nearly all files are in order.
    const isNew = ts > this.latest || ts < this.earliest;
    this.latest = Math.max(this.latest, ts);
    this.earliest = Math.min(this.earliest, ts);
    if (!isRepeat || isNew) return;
    this.times.add(ts);
    this.repeats++;
    if (this.repeats <= MOST_REPEATS) return;
    const what = `more than ${MOST_REPEATS} of its lines have the time of another line, line ${line} for one`;
    throw new ConfigInvalid('<file>', `<file>: ${what}; nothing was imported: leave out doubles, or split the file`);
  }

  private columnOf(name: string): number {
    const known = this.columns.get(name);
    if (known !== undefined) return known;
    this.columns.set(name, this.columns.size);
    return this.columns.size - 1;
  }

  /** Sets the bits of a value's time and column. Returns whether all of them were set before. */
  private mark(ts: number, column: number): boolean {
    const micros = microsOf(ts);
    const low = micros >>> 0;
    const high = Math.floor(micros / 2 ** 32) ^ Math.imul(column + 1, 0x9e3779b1);
    const first = mixBits(low ^ mixBits(high));
    const step = mixBits(first ^ mixBits(low + 0x7f4a7c15)) | 1;
    let wasSet = true;
    for (let i = 0; i < HASHES; i++) {
      const at = (first + Math.imul(i, step)) & this.mask;
      const word = at >>> 5;
      const bit = 1 << (at & 31);
      const before = this.bits[word] ?? 0;
      if ((before & bit) === 0) wasSet = false;
      this.bits[word] = before | bit;
    }
    return wasSet;
  }
}

/** Mixes 32 bits, so that every bit of the result depends on all of them. */
function mixBits(given: number): number {
  let bits = given | 0;
  bits = Math.imul(bits ^ (bits >>> 16), 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return bits ^ (bits >>> 16);
}

/**
 * Recognises the second of the two hours that the clocks showed alike when they were put back. In a file in order of
 * time, the times go back there: the lines that follow are of the second hour, although their times do not say so.
 */
export class SecondHour {
  private before = Number.POSITIVE_INFINITY;
  private latest = Number.NEGATIVE_INFINITY;
  private isSecond = false;

  /** Whether a line is of the second hour. `isTwice`: the clocks showed its time twice. Call for all lines in order. */
  holds(ts: number, isTwice: boolean): boolean {
    if (!isTwice) {
      this.before = ts;
      this.latest = Number.NEGATIVE_INFINITY;
      this.isSecond = false;
      return false;
    }
    // In a file from the newest to the oldest every line goes back in time, so going back says nothing.
    if (ts < this.latest && this.before < ts) this.isSecond = true;
    this.latest = Math.max(this.latest, ts);
    return this.isSecond;
  }
}

interface HeldLine {
  readonly row: CsvRow;
  readonly isTwice: boolean;
}

/** Keeps lines with repeated times until the file is read: only then is it known which contradict each other. */
export class HeldLines {
  private readonly plan: Pick<ImportPlan, 'time' | 'zone'>;
  private readonly byTime = new Map<number, HeldLine[]>();

  constructor(plan: Pick<ImportPlan, 'time' | 'zone'>) {
    this.plan = plan;
  }

  /** `isTwice`: the clocks showed the line's time twice. */
  add(row: CsvRow, isTwice: boolean): void {
    const held = this.byTime.get(row[1]);
    if (held) held.push({ row, isTwice });
    else this.byTime.set(row[1], [{ row, isTwice }]);
  }

  /** Returns the held lines that agree or have different metrics; refuses the others, in their order in the file. */
  settle(): { readonly rows: CsvRow[]; readonly refused: RefusedLine[] } {
    const rows: CsvRow[] = [];
    const refused: RefusedLine[] = [];
    for (const held of this.byTime.values()) {
      const others = contradictions(held.map(({ row }) => row));
      for (const { row, isTwice } of held) {
        const other = others.get(row[0]);
        if (other) refused.push(this.refusal(row[0], other, isTwice));
        else rows.push(row);
      }
    }
    this.byTime.clear();
    return { rows, refused: refused.sort((a, b) => a.line - b.line) };
  }

  private refusal(line: number, { line: other, name }: OtherLine, isTwice: boolean): RefusedLine {
    const night = `: the clocks of ${this.plan.zone} showed that time twice; times in UTC or with their offset tell them apart`;
    const explanation = `line ${other} has another ${name} at the same time, and one would overwrite the other; nothing of either was taken`;
    return { line, path: this.plan.time, reason: 'double_time', explanation: explanation + (isTwice ? night : '') };
  }
}

interface OtherLine {
  readonly line: number;
  readonly name: string;
}

/**
 * Finds the lines that contradict another one; `rows` are all of one time. Returns by line number one such other line,
 * and the metric that differs.
 */
function contradictions(rows: readonly CsvRow[]): Map<number, OtherLine> {
  const others = new Map<number, OtherLine>();
  for (const name of new Set(rows.flatMap(([, , values]) => Object.keys(values)))) {
    const having = rows.filter(([, , values]) => Object.hasOwn(values, name));
    const first = having[0];
    const second = having.find(([, , values]) => values[name] !== first?.[2][name]);
    if (!first || !second) continue;
    for (const [line, , values] of having) {
      const other = values[name] === first[2][name] ? second[0] : first[0];
      if (!others.has(line)) others.set(line, { line: other, name });
    }
  }
  return others;
}
