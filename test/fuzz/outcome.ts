/** What a case took, ms of the processor: the least of several times when the first was long. */
export interface Measured {
  readonly seed: number;
  readonly reader: string;
  readonly bytes: number;
  readonly ms: number;
}

/** A case that broke a rule. */
export interface Broken {
  readonly seed: number;
  readonly reader: string;
  readonly bytes: number;
  readonly what: string;
}

/** What came of a run. */
export interface FuzzOutcome {
  readonly cases: number;
  /** Of the cases whose reader makes readings: how many there were, and of how many readings were taken. */
  readonly payloads: number;
  readonly taken: number;
  readonly broken: readonly Broken[];
  /** The cases that took longest, and those that took most of what their size allows. */
  readonly slowest: readonly Measured[];
  readonly nearest: readonly Measured[];
}

/** What a case may take: so many ms of the processor, and so many µs more for each byte of its input. */
const BUDGET = { ms: 10, usPerByte: 0.5 } as const;

export function budgetMs(bytes: number): number {
  return BUDGET.ms + (bytes * BUDGET.usPerByte) / 1_000;
}

/** One line about a case, for a person who wants to see it again. */
export function line({ seed, reader, bytes, ms }: Measured): string {
  const share = ((100 * ms) / budgetMs(bytes)).toFixed(0);
  const perByte = ((1_000 * ms) / Math.max(1, bytes)).toFixed(3);
  return `${ms.toFixed(2)} ms, ${share} % of its budget, ${perByte} µs a byte: ${bytes} bytes for ${reader}, --case ${seed}`;
}
