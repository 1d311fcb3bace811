/** Something to be measured: named steps, each of which is run again and again. */
export interface Subject {
  readonly name: string;
  readonly bytes: number;
  readonly steps: Readonly<Record<string, () => unknown>>;
}

export interface Measured {
  readonly name: string;
  readonly bytes: number;
  /** The median time of one run of each step, in microseconds. */
  readonly us: Readonly<Record<string, number>>;
}

const ROUNDS = 7;

/**
 * Runs every step of every subject by turns, in ROUNDS rounds of `ms` in all for each step, and takes the median of the rounds:
 * a pause of the machine then falls on all alike, and the first rounds, which warm up, count for little.
 */
export function measure(subjects: readonly Subject[], ms: number): Measured[] {
  const runs = subjects.flatMap((subject) =>
    Object.entries(subject.steps).map(([step, work]) => ({ subject, step, work, us: [] as number[] })),
  );
  for (let round = 0; round < ROUNDS; round++) {
    for (const run of runs) run.us.push(oneRound(run.work, ms / ROUNDS));
  }
  return subjects.map((subject) => ({
    name: subject.name,
    bytes: subject.bytes,
    us: Object.fromEntries(runs.filter((r) => r.subject === subject).map((r) => [r.step, median(r.us)])),
  }));
}

function oneRound(work: () => unknown, ms: number): number {
  const begin = performance.now();
  let runs = 0;
  let spent = 0;
  while (spent < ms) {
    for (let i = 0; i < 16; i++) keep(work());
    runs += 16;
    spent = performance.now() - begin;
  }
  return (spent / runs) * 1_000;
}

// What is measured must be used, or the engine may leave it out.
let kept: unknown;
function keep(value: unknown): void {
  if (value === keep) throw new Error(`never: ${String(kept)}`);
  kept = value;
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? Number.NaN;
}
