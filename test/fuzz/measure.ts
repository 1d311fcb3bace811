import { Dice } from '../chaos/random.ts';
import { type Case, caseOf, type Seen } from './cases.ts';
import { type Broken, budgetMs, type FuzzOutcome, type Measured } from './outcome.ts';

/** How often a case is measured again that took too long: the first time is also that of the compiler and of the garbage collector. */
const MOST_TRIES = 5;
const MOST_BROKEN = 20;
/** The ten worst of a run are found among so many, measured again at its end. */
const CANDIDATES = 60;
const WORST = 10;

export interface FuzzRun {
  readonly seed: number;
  readonly cases: number;
}

/** Tries `cases` cases one after another. `begun` is told the seed of each before it begins, `ended` how many have ended. */
export function tryCases(
  { seed, cases }: FuzzRun,
  begun: (seed: number) => void,
  ended: (count: number) => void,
): FuzzOutcome {
  const dice = new Dice(seed);
  const broken: Broken[] = [];
  const slow = new Worst((one) => one.ms);
  const near = new Worst((one) => one.ms / budgetMs(one.bytes));
  let [payloads, taken] = [0, 0];
  for (let count = 1; count <= cases; count++) {
    const caseSeed = Math.floor(dice.next() * 2 ** 32);
    begun(caseSeed);
    const { measured, seen, what } = tryCase(caseSeed);
    slow.add(measured);
    near.add(measured);
    if (seen?.taken !== undefined) payloads++;
    if (seen?.taken) taken++;
    if (what !== undefined && broken.length < MOST_BROKEN) broken.push({ ...measured, what });
    ended(count);
  }
  return { cases, payloads, taken, broken, slowest: slow.list(), nearest: near.list() };
}

/** One case: what it took, what was seen of its outcome, and which rule it broke, if any. */
export function tryCase(seed: number): { measured: Measured; seen?: Seen; what?: string } {
  const one = caseOf(seed);
  const { reader, bytes } = one;
  let ms = 0;
  try {
    const first = once(one);
    ms = first.ms;
    const most = budgetMs(bytes);
    if (ms > most) ms = leastOf(one, ms, most);
    const measured = { seed, reader, bytes, ms };
    const { flaws } = first.seen;
    const wrong = ms > most ? [`it took ${ms.toFixed(1)} ms of ${most.toFixed(1)}`, ...flaws] : flaws;
    return { measured, seen: first.seen, ...(wrong.length > 0 ? { what: wrong.slice(0, 5).join('; ') } : {}) };
  } catch (error) {
    const what = `it threw ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`;
    return { measured: { seed, reader, bytes, ms }, what };
  }
}

/** Time of the processor, not of the clock: on a busy machine that is also the time of the neighbours. */
function once({ ready }: Case): { ms: number; seen: Seen } {
  const work = ready();
  const begun = process.cpuUsage();
  const look = work();
  const { user, system } = process.cpuUsage(begun);
  return { ms: (user + system) / 1_000, seen: look() };
}

/** The least time of up to MOST_TRIES more, or the first that is not above `enough`. */
function leastOf(one: Case, first: number, enough: number): number {
  let least = first;
  for (let tries = 0; tries < MOST_TRIES && least > enough; tries++) least = Math.min(least, once(one).ms);
  return least;
}

/** The cases that are worst by some measure. */
class Worst {
  private found: Measured[] = [];
  private readonly by: (one: Measured) => number;

  constructor(by: (one: Measured) => number) {
    this.by = by;
  }

  add(one: Measured): void {
    this.found.push(one);
    if (this.found.length >= 4 * CANDIDATES) this.sort();
  }

  /** The worst, each measured again: what was slow only by chance is not among them. */
  list(): Measured[] {
    this.sort();
    this.found = this.found.map((one) => ({ ...one, ms: leastOf(caseOf(one.seed), one.ms, 0) }));
    this.sort();
    return this.found.slice(0, WORST);
  }

  private sort(): void {
    this.found = this.found.sort((a, b) => this.by(b) - this.by(a)).slice(0, CANDIDATES);
  }
}
