import { cpus, totalmem } from 'node:os';

/** What a benchmark found. A ratio above 1 always means that Loam is better. */
export interface Outcome {
  readonly bench: string;
  readonly unit: string;
  readonly loam: number;
  readonly peers: Readonly<Record<string, number>>;
  readonly ratio: Readonly<Record<string, number>>;
  /** Further figures, by subject. */
  readonly detail: Readonly<Record<string, Readonly<Record<string, string | number>>>>;
  /** Versions of servers that took part, beside those of Loam's own parts. */
  readonly versions?: Readonly<Record<string, string>>;
}

export interface BenchmarkOptions {
  /** Ends within 45 s, servers' start included. */
  readonly quick: boolean;
  /** Tells a person who waits how far it is. */
  readonly say: (progress: string) => void;
}

export interface Benchmark {
  readonly name: string;
  readonly about: string;
  run(options: BenchmarkOptions): Promise<Outcome>;
}

/** Where the figures were taken: without it they mean nothing. */
export function machine(): { cpu: string; cores: number; memoryGiB: number; platform: string } {
  const all = cpus();
  return {
    cpu: all[0]?.model.trim() ?? 'unknown',
    cores: all.length,
    memoryGiB: Math.round(totalmem() / 1024 ** 3),
    platform: `${process.platform}-${process.arch}`,
  };
}

/** The outcome as tables for a person, with where it was measured and on what. */
export function show({ bench, unit, loam, peers, ratio, detail }: Outcome, versions: Record<string, string>): void {
  const { cpu, cores, memoryGiB, platform } = machine();
  console.log(`${bench}, in ${unit} (${cores} × ${cpu}, ${memoryGiB} GiB, ${platform})`);
  console.table({
    loam: { [unit]: rounded(loam) },
    ...Object.fromEntries(
      Object.entries(peers).map(([name, figure]) => [
        name,
        { [unit]: rounded(figure), 'loam is better by': rounded(ratio[name] ?? '') },
      ]),
    ),
  });
  console.table(
    Object.fromEntries(
      Object.entries(detail).map(([name, figures]) => [
        name,
        Object.fromEntries(Object.entries(figures).map(([key, figure]) => [key, rounded(figure)])),
      ]),
    ),
  );
  const named = Object.entries(versions).map(([name, version]) => `${name} ${version}`);
  console.log(named.join(', '));
}

function rounded(figure: string | number): string | number {
  return typeof figure === 'number' ? Number(figure.toPrecision(4)) : figure;
}
