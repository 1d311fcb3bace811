import type { Metrics } from '../../core/metrics.ts';
import type { Heard } from './last-minute.ts';

/** One number for people. `label` says what it is, in plain words. */
export interface Figure {
  readonly id: string;
  readonly label: string;
  readonly value: number;
  readonly unit: string;
}

interface FigureSource {
  readonly id: string;
  readonly label: string;
  readonly unit: string;
  /** The metric it is taken from; the values of all its labels are added up. */
  readonly metric: string;
  /** The metric's value, or how much it grows a second. */
  readonly as: 'value' | 'rate';
  readonly times?: number;
}

/** The figures that are shown to people. They do not contain a role that runs in another process. */
const SHOWN: readonly FigureSource[] = [
  { id: 'sensors-connected', label: 'Sensors connected', unit: '', metric: 'loam_broker_clients', as: 'value' },
  { id: 'readings-stored', label: 'Readings stored', unit: '1/s', metric: 'loam_readings_written_total', as: 'rate' },
  { id: 'queue', label: 'Messages waiting to be stored', unit: '', metric: 'loam_queue_depth', as: 'value' },
  {
    id: 'set-aside',
    label: 'Messages set aside since the start',
    unit: '',
    metric: 'loam_set_aside_total',
    as: 'value',
  },
  { id: 'viewers', label: 'Dashboards open', unit: '', metric: 'loam_live_sockets', as: 'value' },
  { id: 'slow-viewers', label: 'Of these, on a slow line', unit: '', metric: 'loam_live_slow_sockets', as: 'value' },
  { id: 'requests', label: 'Requests answered', unit: '1/s', metric: 'loam_http_requests_total', as: 'rate' },
  {
    id: 'memory',
    label: 'Memory of this process',
    unit: 'MB',
    metric: 'process_resident_memory_bytes',
    as: 'value',
    times: 1e-6,
  },
  { id: 'cpu', label: 'Processor time', unit: '%', metric: 'process_cpu_seconds_total', as: 'rate', times: 100 },
];

const METRICS: ReadonlySet<string> = new Set(SHOWN.map(({ metric }) => metric));

const SAMPLE_MS = 10_000;

interface Sample {
  readonly at: number;
  readonly sums: ReadonlyMap<string, number>;
}

/**
 * Figures of the process for the dashboard: from its metrics (`/metrics`), and from what this gateway hears on the live
 * log. Rates are those of the last ten to twenty seconds.
 */
export class Figures {
  private readonly metrics: Metrics | undefined;
  private readonly heard: Heard;
  private readonly passed: () => number;
  private before: Sample | undefined;
  private latest: Sample | undefined;
  private timer: NodeJS.Timeout | undefined;

  /** `passed`: ms by a monotonic clock. */
  constructor(metrics: Metrics | undefined, heard: Heard, passed: () => number) {
    this.metrics = metrics;
    this.heard = heard;
    this.passed = passed;
  }

  start(): void {
    this.timer = setInterval(() => void this.keepSample(), SAMPLE_MS).unref();
    void this.keepSample();
  }

  stop(): void {
    clearInterval(this.timer);
  }

  async all(): Promise<Figure[]> {
    const { perSecond, lagMs } = this.heard.lastMinute();
    const own: Figure[] = [
      { id: 'readings-heard', label: 'Readings shown live, last minute', value: rounded(perSecond), unit: '1/s' },
    ];
    if (lagMs !== undefined) {
      own.push({
        id: 'lag',
        label: 'Slowest way from sensor door to this gateway, last minute',
        value: lagMs,
        unit: 'ms',
      });
    }
    const sample = await this.sample();
    const base = this.before;
    return own.concat(
      SHOWN.flatMap(({ id, label, unit, metric, as, times = 1 }) => {
        const value = as === 'value' ? sample.sums.get(metric) : rate(metric, base, sample);
        return value === undefined ? [] : [{ id, label, unit, value: rounded(value * times) }];
      }),
    );
  }

  /** Never rejects. */
  private async keepSample(): Promise<void> {
    const sample = await this.sample();
    this.before = this.latest ?? sample;
    this.latest = sample;
  }

  /** Never rejects: when the metrics cannot be read, the sample is empty. */
  private async sample(): Promise<Sample> {
    const nothing = new Map<string, number>();
    const sums = (await this.metrics?.sums(METRICS).catch(() => nothing)) ?? nothing;
    return { at: this.passed(), sums };
  }
}

function rate(metric: string, before: Sample | undefined, now: Sample): number | undefined {
  const [from, to] = [before?.sums.get(metric), now.sums.get(metric)];
  if (before === undefined || from === undefined || to === undefined || now.at - before.at < 1_000) return undefined;
  return Math.max(0, (to - from) / ((now.at - before.at) / 1000));
}

function rounded(value: number): number {
  return Number(value.toPrecision(4));
}
