import { ConfigInvalid } from '../core/errors.ts';
import { isShownTwice } from '../telemetry/calendar.ts';
import { microsOf } from '../telemetry/instant.ts';
import { isOffset } from '../telemetry/logger-files/time-cells.ts';
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

/** The earliest and the latest time of a sensor so far. */
interface SensorTimes {
  readonly earliest: number;
  readonly latest: number;
}

const NO_SPAN: SensorTimes = { earliest: Number.POSITIVE_INFINITY, latest: Number.NEGATIVE_INFINITY };

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
  private readonly spans = new Map<string, SensorTimes>();

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
  look([line, ts, values, sensor]: CsvRow): void {
    let isRepeat = false;
    for (const name of Object.keys(values)) if (this.mark(ts, this.columnOf(`${sensor} ${name}`))) isRepeat = true;
    // A time before or after all earlier ones of its sensor is certainly new, whatever the bits say. Nearly all files are in order.
    const { earliest, latest } = this.spans.get(sensor) ?? NO_SPAN;
    const isNew = ts > latest || ts < earliest;
    this.spans.set(sensor, { earliest: Math.min(earliest, ts), latest: Math.max(latest, ts) });
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

/** Keeps lines with repeated times until the file is read: only then is it known which contradict each other. */
export class HeldLines {
  private readonly plan: Pick<ImportPlan, 'timeName' | 'zone'>;
  private readonly byTime = new Map<string, CsvRow[]>();

  constructor(plan: Pick<ImportPlan, 'timeName' | 'zone'>) {
    this.plan = plan;
  }

  add(row: CsvRow): void {
    const key = `${row[1]} ${row[3]}`;
    const held = this.byTime.get(key);
    if (held) held.push(row);
    else this.byTime.set(key, [row]);
  }

  /** Returns the held lines that agree or have different metrics; refuses the others, in their order in the file. */
  settle(): { readonly rows: CsvRow[]; readonly refused: RefusedLine[] } {
    const rows: CsvRow[] = [];
    const refused: RefusedLine[] = [];
    for (const held of this.byTime.values()) {
      const others = contradictions(held);
      for (const row of held) {
        const other = others.get(row[0]);
        if (other) refused.push(this.refusal(row, other));
        else rows.push(row);
      }
    }
    this.byTime.clear();
    return { rows, refused: refused.sort((a, b) => a.line - b.line) };
  }

  private refusal([line, ts]: CsvRow, { line: other, name }: OtherLine): RefusedLine {
    const isTwice = !isOffset(this.plan.zone) && isShownTwice(ts, this.plan.zone);
    const night = `: the clocks of ${this.plan.zone} showed that time twice; times in UTC or with their offset tell them apart`;
    const explanation = `line ${other} has another ${name} at the same time, and one would overwrite the other; nothing of either was taken`;
    return { line, path: this.plan.timeName, reason: 'double_time', explanation: explanation + (isTwice ? night : '') };
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
