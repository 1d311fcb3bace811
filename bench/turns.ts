/** One of the things that are compared. `measure` does one run and resolves with its figure; higher is better unless said otherwise. */
export interface Contender {
  readonly name: string;
  measure(): Promise<Run>;
}

/** What one run found: the figure that is compared, and others beside it. */
export interface Run {
  readonly figure: number;
  readonly beside?: Readonly<Record<string, number>>;
}

/** What all runs of a contender found together: medians, and between what the figure lay. */
export interface Summary {
  readonly median: number;
  readonly lowest: number;
  readonly highest: number;
  readonly runs: number;
  readonly beside: Readonly<Record<string, number>>;
}

/**
 * Runs every contender `rounds` times, by turns, so that what else the machine does falls on all alike. Every second round goes backwards.
 * `onRun` is told each figure as it comes. Resolves with a summary each, in the order given.
 */
export async function byTurns(
  contenders: readonly Contender[],
  rounds: number,
  onRun: (name: string, round: number, run: Run) => void = () => {},
): Promise<Map<string, Summary>> {
  const runs = new Map<string, Run[]>(contenders.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round++) {
    for (const contender of round % 2 === 1 ? contenders : [...contenders].reverse()) {
      const run = await contender.measure();
      runs.get(contender.name)?.push(run);
      onRun(contender.name, round, run);
    }
  }
  return new Map([...runs].map(([name, all]) => [name, summary(all)]));
}

/** Medians and spread of some runs, of which there is at least one. */
export function summary(runs: readonly Run[]): Summary {
  const figures = runs.map(({ figure }) => figure);
  const keys = new Set(runs.flatMap(({ beside = {} }) => Object.keys(beside)));
  const medians = [...keys].map((key) => [key, median(runs.flatMap(({ beside }) => beside?.[key] ?? []))] as const);
  return {
    median: median(figures),
    lowest: Math.min(...figures),
    highest: Math.max(...figures),
    runs: runs.length,
    beside: Object.fromEntries(medians),
  };
}

/** The middle one; of an even number the mean of the middle two. NaN of none. */
export function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  const [low, high] = [sorted[Math.floor((sorted.length - 1) / 2)], sorted[Math.floor(sorted.length / 2)]];
  return low === undefined || high === undefined ? Number.NaN : (low + high) / 2;
}

/** A summary as a row of figures. */
export function row({ beside, ...figures }: Summary): Record<string, number> {
  return { ...figures, ...beside };
}
