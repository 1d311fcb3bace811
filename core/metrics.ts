import { Counter, collectDefaultMetrics, Gauge, Histogram, type Metric, Registry } from 'prom-client';

/** Most values that one label of a metric may have; what comes after them is counted under `OTHER`. */
const MOST_LABEL_VALUES = 1_000;
const OTHER = 'other';

/** Upper bounds, in seconds, for work that takes between a millisecond and half a minute. */
export const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/**
 * What one process counts and measures, for `/metrics`. Each process has one, handed to each part; nothing is global.
 *
 * Names begin with `loam_`, counters end in `_total`, times are in seconds; `docs/metrics.md` lists all of them. A
 * second request for a name gives the same metric: several parts of one kind in a process count together.
 */
export class Metrics {
  private readonly registry = new Registry();
  private readonly known = new Map<string, Metric>();

  get contentType(): string {
    return this.registry.contentType;
  }

  /** Everything in Prometheus' text form. Rejects with what a reading function throws. */
  text(): Promise<string> {
    return this.registry.metrics();
  }

  /** The sum of each of these metrics over all its labels; one that is not known at the moment is left out. Rejects as `text` does. */
  async sums(names: ReadonlySet<string>): Promise<ReadonlyMap<string, number>> {
    const sums = new Map<string, number>();
    for (const { name, values } of await this.registry.getMetricsAsJSON()) {
      if (!names.has(name) || values.length === 0) continue;
      sums.set(
        name,
        values.reduce((sum, { value }) => sum + value, 0),
      );
    }
    return sums;
  }

  /**
   * Adds the metrics of Node: memory, CPU, handles, garbage collection, event-loop delay (`nodejs_eventloop_lag_*`).
   */
  addProcess(): void {
    collectDefaultMetrics({ register: this.registry });
  }

  counter<L extends string = never>(name: string, help: string, labels: readonly L[] = []): Counter<L> {
    const known = this.known.get(name);
    if (known instanceof Counter) return known;
    return this.add(name, new Counter({ name, help, labelNames: labels, registers: [this.registry] }));
  }

  histogram<L extends string = never>(
    name: string,
    help: string,
    { labels = [], buckets = SECONDS }: { labels?: readonly L[]; buckets?: readonly number[] } = {},
  ): Histogram<L> {
    const known = this.known.get(name);
    if (known instanceof Histogram) return known;
    const settings = { name, help, labelNames: labels, buckets: [...buckets], registers: [this.registry] };
    return this.add(name, new Histogram(settings));
  }

  /**
   * A value that is read at each request. When `read` gives undefined or rejects, the value is unknown and left out.
   */
  gauge(name: string, help: string, read: () => number | undefined | Promise<number | undefined>): void {
    if (this.known.has(name)) return;
    const gauge: Gauge = new Gauge({
      name,
      help,
      registers: [this.registry],
      collect: async () => {
        const value = await Promise.resolve()
          .then(read)
          .catch(() => undefined);
        if (value === undefined) gauge.remove();
        else gauge.set(value);
      },
    });
    this.add(name, gauge);
  }

  /** Shows counts that a part keeps in an object of its own, one time series for each key: `name{event="key"}`. */
  counts(name: string, help: string, read: () => Readonly<Record<string, number>>): void {
    if (this.known.has(name)) return;
    const counter: Counter<'event'> = new Counter({
      name,
      help,
      labelNames: ['event'],
      registers: [this.registry],
      collect: () => {
        counter.reset();
        for (const [event, count] of Object.entries(read())) counter.inc({ event }, count);
      },
    });
    this.add(name, counter);
  }

  private add<M extends Metric>(name: string, metric: M): M {
    this.known.set(name, metric);
    return metric;
  }
}

/** Metrics for a process, with those of Node. */
export function processMetrics(): Metrics {
  const metrics = new Metrics();
  metrics.addProcess();
  return metrics;
}

/** Limits the values of a label: the first thousand are kept, every later one becomes `other`. */
export class LabelValues {
  private readonly seen = new Set<string>();

  of(value: string): string {
    if (this.seen.has(value)) return value;
    if (this.seen.size >= MOST_LABEL_VALUES) return OTHER;
    this.seen.add(value);
    return value;
  }
}

/** Counts what belongs to farms, farm by farm: `name{farm="north"}`. */
export class FarmCounter {
  private readonly counter: Counter<'farm'>;
  private readonly farms = new LabelValues();

  constructor(metrics: Metrics, name: string, help: string) {
    this.counter = metrics.counter(name, help, ['farm']);
  }

  /** Counts each item for its farm. The items are summed first, because looking up a counter by its label is slow. */
  add(all: Iterable<{ readonly farm: string }>): void {
    const counts = new Map<string, number>();
    for (const { farm } of all) counts.set(farm, (counts.get(farm) ?? 0) + 1);
    this.addCounts(counts);
  }

  /** Adds so many for each farm. */
  addCounts(counts: ReadonlyMap<string, number>): void {
    for (const [farm, count] of counts) this.counter.inc({ farm: this.farms.of(farm) }, count);
  }
}
