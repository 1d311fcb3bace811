/**
 * Lines of the hour that clocks show twice when they are put back. Their times do not say which of the two hours they
 * are of, but their order does: within the hour, the times of a file in order go back once.
 */

/** A line with its time: one instant, or two when the clocks showed it twice. */
export interface LineAt {
  readonly sensor: string;
  /** Of which joined file it is. */
  readonly part: number;
  readonly first: number;
  readonly second: number | undefined;
  readonly values: Readonly<Record<string, number>>;
}

/** A line at its instant; `ts` is undefined when the order does not tell it. */
export interface PlacedLine<T extends LineAt> {
  readonly line: T;
  readonly ts: number | undefined;
}

const HOUR = 3_600_000;
/** Most lines of one sensor that are held for the hour's end. */
const MOST_OF_HOUR = 20_000;
/** Most lines that are held for all sensors of a file. */
const MOST_HELD = 100_000;
/** A line farther away than this from the hour says nothing about it. */
const NEAR = 3 * HOUR;
/** With fewer lines, the usual step between two of them is not known. */
const LEAST_FOR_STEP = 6;
const MOST_STEPS = 3;

interface OneHour<T> {
  lines: T[];
  /** The line before the hour. */
  readonly before: number | undefined;
  /** There were too many lines to hold: their order is not looked at. */
  isTooMuch: boolean;
}

/** Puts lines at their instants, in the order of the file; those of the hour when it is over. */
export class AutumnHour<T extends LineAt> {
  private readonly hours = new Map<string, OneHour<T>>();
  private readonly latest = new Map<string, T>();
  private held = 0;

  /** Takes the next line; returns the lines whose instants are known now. */
  add(line: T): readonly PlacedLine<T>[] {
    const { sensor, first, second, part } = line;
    const last = this.latest.get(sensor);
    const open = this.hours.get(sensor);
    const opened = open?.lines[0];
    const isOver = last?.part !== part || (opened !== undefined && Math.abs(first - opened.first) > NEAR);
    const placed = open && (second === undefined || isOver) ? this.close(sensor, isOver ? undefined : first) : [];
    this.latest.set(sensor, line);
    if (second === undefined) return [...placed, { line, ts: first }];
    const before = last?.part === part && last.second === undefined ? last.first : undefined;
    const hour = this.hours.get(sensor) ?? { lines: [], before, isTooMuch: false };
    this.hours.set(sensor, hour);
    hour.isTooMuch ||= hour.lines.length >= MOST_OF_HOUR || this.held >= MOST_HELD;
    if (hour.isTooMuch) return [...placed, ...this.release(hour), { line, ts: undefined }];
    hour.lines.push(line);
    this.held++;
    return placed;
  }

  /** The file is over: returns what is held. */
  end(): readonly PlacedLine<T>[] {
    return [...this.hours.keys()].flatMap((sensor) => this.close(sensor, undefined));
  }

  private release(hour: OneHour<T>): PlacedLine<T>[] {
    this.held -= hour.lines.length;
    return hour.lines.splice(0).map((line) => ({ line, ts: undefined }));
  }

  private close(sensor: string, after: number | undefined): PlacedLine<T>[] {
    const hour = this.hours.get(sensor);
    this.hours.delete(sensor);
    if (!hour) return [];
    this.held -= hour.lines.length;
    const second = secondOf(hour.lines, near(hour.before, hour.lines), near(after, hour.lines));
    return hour.lines.map((line) => ({
      line,
      ts: second === undefined ? undefined : second.has(line) ? line.second : line.first,
    }));
  }
}

function near(other: number | undefined, lines: readonly LineAt[]): number | undefined {
  const [line] = lines;
  return other !== undefined && line !== undefined && Math.abs(other - line.first) <= NEAR ? other : undefined;
}

/** The lines of the second hour; undefined when their order does not tell. `before` and `after` are the lines around them. */
function secondOf<T extends LineAt>(
  lines: readonly T[],
  before: number | undefined,
  after: number | undefined,
): ReadonlySet<T> | undefined {
  const isBackward = isNewestFirst(lines, before, after);
  const inOrder = isBackward ? lines.toReversed() : lines;
  const [earlier, later] = isBackward ? [after, before] : [before, after];
  const passes = withoutRepeats(passesOf(inOrder));
  const [first = [], second = []] = passes;
  if (passes.length > 2) return undefined;
  if (passes.length === 2) return isOneStep(first, second) ? new Set(second) : undefined;
  return isOfEnd(first, earlier, later) ? new Set(first) : new Set();
}

function isNewestFirst(lines: readonly LineAt[], before: number | undefined, after: number | undefined): boolean {
  const [line] = lines;
  if (line === undefined) return false;
  if (before !== undefined || after !== undefined) {
    return (before ?? Number.NEGATIVE_INFINITY) > line.first || (after ?? Number.POSITIVE_INFINITY) < line.first;
  }
  let backward = 0;
  for (const [i, { first }] of lines.entries()) backward += Math.sign((lines[i - 1]?.first ?? first) - first);
  return backward > 0;
}

/** Runs of lines whose times do not go back, and do not say the same time of one metric again. */
function passesOf<T extends LineAt>(lines: readonly T[]): T[][] {
  const passes: T[][] = [];
  let latest = Number.POSITIVE_INFINITY;
  let metrics = new Set<string>();
  for (const line of lines) {
    const names = Object.keys(line.values);
    const isBack = line.first < latest || (line.first === latest && names.some((name) => metrics.has(name)));
    if (passes.length === 0 || isBack) passes.push([]);
    if (isBack || line.first !== latest) metrics = new Set();
    for (const name of names) metrics.add(name);
    latest = line.first;
    passes.at(-1)?.push(line);
  }
  return passes;
}

/** With more than two runs, one that only says again what the run beside it says is no hour of its own: two files overlap. */
function withoutRepeats<T extends LineAt>(passes: T[][]): T[][] {
  if (passes.length <= 2) return passes;
  const kept: T[][] = [];
  for (const pass of passes) {
    const last = kept.at(-1);
    if (last && (says(last, pass) || says(pass, last))) kept[kept.length - 1] = [...last, ...pass];
    else kept.push(pass);
  }
  return kept;
}

/** Whether each line of `all` stands in `among` too, with the same values. */
function says(among: readonly LineAt[], all: readonly LineAt[]): boolean {
  const texts = new Set(among.map(textOf));
  return all.every((line) => texts.has(textOf(line)));
}

function textOf({ first, values }: LineAt): string {
  return `${first} ${JSON.stringify(values)}`;
}

/** Whether from the last line of the first hour to the first of the second it is about a step: lines in no order are farther apart. */
function isOneStep(first: readonly LineAt[], second: readonly LineAt[]): boolean {
  const steps = [first, second]
    .flatMap((pass) => pass.slice(1).map((line, i) => line.first - (pass[i]?.first ?? 0)))
    .filter((step) => step > 0)
    .sort((a, b) => a - b);
  const [last, next] = [first.at(-1), second[0]];
  if (first.length + second.length < LEAST_FOR_STEP || last === undefined || next?.second === undefined) return true;
  const usual = steps[Math.floor(steps.length / 2)] ?? HOUR;
  return next.second - last.first <= MOST_STEPS * usual;
}

/** Whether lines that begin in the hour, with none before it, are of the second one: the line after it then follows in one step. */
function isOfEnd(lines: readonly LineAt[], before: number | undefined, after: number | undefined): boolean {
  const [last, other] = [lines.at(-1), lines.at(-2)];
  if (before !== undefined || after === undefined || last?.second === undefined || other === undefined) return false;
  return after - last.second <= 1.5 * (last.first - other.first);
}
