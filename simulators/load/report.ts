import { createHistogram, type Histogram, type RecordableHistogram } from 'node:perf_hooks';
import type { ThreadReport } from './driver.ts';

/** Times from when a publish was due to its PUBACK, in ms. Absent where nothing was acknowledged, as with QoS 0. */
export interface Latency {
  readonly p50: number;
  readonly p90: number;
  readonly p99: number;
  readonly p999: number;
  readonly max: number;
  readonly mean: number;
}

/** One interval of a run, mostly a second. Counts are of this interval alone. */
export interface ReportInterval {
  /** Its end, ms after publishing began, and its length. */
  readonly at: number;
  readonly ms: number;
  readonly due: number;
  readonly sent: number;
  readonly acknowledged: number;
  readonly resent: number;
  /** Publishes without an acknowledgement, at the end of the interval. */
  readonly inFlight: number;
  readonly connected: number;
  /** Publishes due and not sent yet, at the end of the interval: how far the receiver is behind. */
  readonly backlog: number;
  readonly latencyMs: Latency | undefined;
  readonly errors: number;
}

/** Whether the figures may show the generator's limits and not the receiver's. */
export interface Generator {
  readonly threads: number;
  /** Share of the time in which its busiest thread was at work, 0 to 1. */
  readonly busiest: number;
  /** How late it sent publishes that only the generator itself delayed, 99th percentile, ms. Open loop only. */
  readonly lateMs: number | undefined;
  /** Whether it, and not the receiver, set the pace: it was busy all the time, or late. */
  readonly wasTheLimit: boolean;
  /** The same in words. */
  readonly statement: string;
}

/** What a load test found. Counts are of publishes. */
export interface LoadReport {
  readonly connections: number;
  readonly qos: 0 | 1;
  readonly loop: 'open' | 'closed';
  /** From the first publish to the end of sending, without the warm-up, s. */
  readonly seconds: number;
  readonly due: number;
  readonly sent: number;
  /** QoS 0: handed to the system. */
  readonly acknowledged: number;
  readonly resent: number;
  /** Sent and not acknowledged when the run ended; those that were given up count too. */
  readonly unacknowledged: number;
  /** Acknowledged a second, over `seconds`. */
  readonly perSecond: number;
  readonly latencyMs: Latency | undefined;
  readonly connectionsLost: number;
  readonly connectionsRefused: number;
  readonly errors: Readonly<Record<string, number>>;
  readonly stretches: readonly ReportInterval[];
  readonly generator: Generator;
  /** Why it ended: `done` after its time or total, `stopped` by its signal. */
  readonly ended: 'done' | 'stopped';
}

/** The latencies of a histogram in µs; undefined when it is empty. */
export function latencyOf(histogram: Histogram): Latency | undefined {
  if (histogram.count === 0) return undefined;
  const at = (percentile: number) => histogram.percentile(percentile) / 1_000;
  return {
    p50: at(50),
    p90: at(90),
    p99: at(99),
    p999: at(99.9),
    max: histogram.max / 1_000,
    mean: histogram.mean / 1_000,
  };
}

/** Several threads' reports as one. */
export function together(all: readonly ThreadReport[]): ThreadReport {
  const sum = (of: (report: ThreadReport) => number) => all.reduce((total, report) => total + of(report), 0);
  const errors: Record<string, number> = {};
  for (const [what, count] of all.flatMap((report) => Object.entries(report.errors))) {
    errors[what] = (errors[what] ?? 0) + count;
  }
  return {
    sent: sum((t) => t.sent),
    acknowledged: sum((t) => t.acknowledged),
    resent: sum((t) => t.resent),
    lost: sum((t) => t.lost),
    refused: sum((t) => t.refused),
    due: sum((t) => t.due),
    connected: sum((t) => t.connected),
    inFlight: sum((t) => t.inFlight),
    latency: merged(all.map((t) => t.latency)),
    lateness: merged(all.map((t) => t.lateness)),
    busy: Math.max(...all.map((t) => t.busy)),
    errors,
    promises: all.map((t) => t.promises).join(''),
  };
}

export function merged(histograms: readonly RecordableHistogram[]): RecordableHistogram {
  const all = createHistogram();
  for (const histogram of histograms) all.add(histogram);
  return all;
}

/** The time between two reports, `at` and `ms` as in `ReportInterval`. */
export function stretchOf(before: ThreadReport | undefined, now: ThreadReport, at: number, ms: number): ReportInterval {
  const since = (of: (report: ThreadReport) => number) => of(now) - (before ? of(before) : 0);
  return {
    at,
    ms,
    due: since((t) => t.due),
    sent: since((t) => t.sent),
    acknowledged: since((t) => t.acknowledged),
    resent: since((t) => t.resent),
    inFlight: now.inFlight,
    connected: now.connected,
    backlog: Math.max(0, now.due - now.sent),
    latencyMs: latencyOf(now.latency),
    errors: since((t) => t.lost + t.refused),
  };
}

/** A thread that is busy for more than this share of its time is taken to be the limit. */
const BUSY = 0.95;
/** A generator that is later than this distorts what it measures. */
const LATE_MS = 20;

/**
 * What the generator says of itself. `busiest` is the median over the run of its busiest thread's share; `lateness` in
 * µs.
 */
export function generatorOf(threads: number, busiest: number, lateness: Histogram, loop: 'open' | 'closed'): Generator {
  const lateMs = loop === 'open' && lateness.count > 0 ? lateness.percentile(99) / 1_000 : undefined;
  const isLate = (lateMs ?? 0) > LATE_MS;
  const share = `its busiest thread was at work ${(busiest * 100).toFixed(0)} % of the time`;
  const late = lateMs === undefined ? '' : `, and it sent 99 % of what nothing held up within ${lateMs.toFixed(1)} ms`;
  return {
    threads,
    busiest,
    lateMs,
    wasTheLimit: busiest > BUSY || isLate,
    statement: `${judged(busiest, isLate)}${share}${late}.`,
  };
}

function judged(busiest: number, isLate: boolean): string {
  if (busiest > BUSY)
    return 'The generator was the limit, not the receiver, and more threads or another machine may reach more: ';
  // For example at the start of a run, or when other processes use the processor.
  if (isLate) return 'The generator was late, and what was measured is partly its own: ';
  return 'The generator was not the limit: ';
}
