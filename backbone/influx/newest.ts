import { clock } from '../../core/clock.ts';
import { MAX_AHEAD_MS } from '../../telemetry/clock.ts';
import { instantOfMicros } from '../../telemetry/instant.ts';
import { MAX_TS, MIN_TS } from '../../telemetry/reading.ts';
import type { LatestValue } from '../ports/store.ts';
import type { TimeRange } from '../ports/store-checks.ts';
import type { ResultRows } from './http.ts';
import { inParts } from './parts.ts';
import * as ql from './ql.ts';

const DAY_MS = 86_400_000;
/** Above so many a query is no faster for naming the sensors that it is about. */
const MOST_NAMED = 100;

/** Runs statements, and numbers their rows. */
export type AskStatements = (statements: readonly string[]) => AsyncGenerator<ResultRows>;

/**
 * The newest value of every metric of every sensor of a farm, as `Store.latest` says. It looks at the last day first, then at the two before it, the four before
 * those, and so on, for what was not found yet, until the beginning of all readings: over many years a single query would open every file
 * for every sensor. `sensors` are those to be found; without them every sensor is asked for in all of the time.
 */
export async function newestOf(
  ask: AskStatements,
  farm: string,
  metrics: readonly string[],
  sensors?: ReadonlySet<string>,
): Promise<LatestValue[]> {
  const search = new NewestSearch(metrics, sensors);
  for (const window of windowsBack(clock.now())) {
    const wanted = search.wanted();
    if (wanted.length === 0) break;
    const askWithin = (range: TimeRange) =>
      ask(wanted.map(({ metric, names }) => ql.newest(farm, metric, range, names)));
    for await (const rows of inParts(window, askWithin, 'newest')) {
      search.take(wanted[rows.statement]?.metric ?? '', rows);
    }
  }
  return search.found;
}

/** The last day, and windows before it, each twice as wide; then the time to come: any other value is newer. */
function* windowsBack(now: number): Generator<TimeRange> {
  const latest = Math.max(MIN_TS, Math.min(Math.floor(now) + MAX_AHEAD_MS, MAX_TS)) + 1;
  let to = latest;
  let from = now - DAY_MS;
  for (let width = DAY_MS; to > MIN_TS; width *= 2) {
    const edge = Math.max(MIN_TS, Math.min(from, to - 1));
    yield { from: edge, to };
    to = edge;
    from = edge - width * 2;
  }
  if (latest <= MAX_TS) yield { from: latest, to: MAX_TS + 1 };
}

interface WantedMetric {
  readonly metric: string;
  /** Of whom, when they are few. */
  readonly names: readonly string[] | undefined;
}

class NewestSearch {
  readonly found: LatestValue[] = [];
  /** Who is still to be found, by metric; a metric of which everybody was found is left out. */
  private readonly missing: Map<string, Set<string> | undefined>;
  private readonly seen = new Map<string, Set<string>>();

  constructor(metrics: readonly string[], sensors: ReadonlySet<string> | undefined) {
    this.missing = new Map(metrics.map((metric) => [metric, sensors && new Set(sensors)]));
  }

  wanted(): WantedMetric[] {
    return [...this.missing].map(([metric, sensors]) => ({
      metric,
      names: sensors && sensors.size <= MOST_NAMED ? [...sensors] : undefined,
    }));
  }

  take(metric: string, { tags, columns, values }: ResultRows): void {
    const place = (column: string) => columns.indexOf(column);
    const [last, received, named] = [place('last'), place(ql.RECEIVED), place('sensor')];
    for (const row of values) {
      // InfluxDB 3 gave what it groups by as columns in its first versions.
      const sensor = tags.sensor ?? String(row[named] ?? '');
      if (row[last] === null || row[last] === undefined || !this.isNew(metric, sensor)) continue;
      const ts = instantOfMicros(Number(row[0]));
      this.found.push({ sensor, metric, ts, value: Number(row[last]), received: Number(row[received]) });
    }
  }

  /** Whether nothing newer was found of it. */
  private isNew(metric: string, sensor: string): boolean {
    const seen = this.seen.get(metric) ?? new Set<string>();
    this.seen.set(metric, seen);
    if (seen.has(sensor)) return false;
    seen.add(sensor);
    const missing = this.missing.get(metric);
    missing?.delete(sensor);
    if (missing?.size === 0) this.missing.delete(metric);
    return true;
  }
}
