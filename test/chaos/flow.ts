import type { Role } from './role.ts';
import type { Stage } from './stage.ts';

/** What workers had written and what waited, at one time, s after the beginning. */
interface FlowSample {
  readonly at: number;
  readonly written: Readonly<Record<string, number>>;
  readonly depth: number;
}

/** Looks at the workers' metrics every so often. */
export class FlowWatch {
  private readonly samples: FlowSample[] = [];
  private readonly workers: readonly (readonly [string, Role])[];
  private readonly began = Date.now();
  private readonly timer: NodeJS.Timeout;

  constructor(stage: Stage, everyMs = 2_000) {
    this.workers = Object.entries(stage.roles).filter(([name]) => name === 'up' || name.startsWith('worker'));
    this.timer = setInterval(() => void this.look(), everyMs);
  }

  stop(): void {
    clearInterval(this.timer);
  }

  /** What happened between two times, s after the beginning: readings stored a second, each worker's share, and what waited. */
  between(from: number, to: number): string[] {
    const within = this.samples.filter(({ at }) => at >= from && at <= to);
    const [first, last] = [within[0], within.at(-1)];
    if (!first || !last || first === last) return ['not long enough to say anything'];
    const seconds = last.at - first.at;
    const rates = this.workers.map(([name]) => ((last.written[name] ?? 0) - (first.written[name] ?? 0)) / seconds);
    const total = rates.reduce((sum, rate) => sum + rate, 0);
    const third = Math.max(1, Math.floor(within.length / 3));
    const mean = (some: readonly FlowSample[]) => some.reduce((sum, { depth }) => sum + depth, 0) / some.length;
    return [
      `stored ${Math.round(total)} readings a second over ${Math.round(seconds)} s`,
      `each worker: ${rates.map((rate) => Math.round(rate)).join(', ')}`,
      `queue: ${Math.round(mean(within.slice(0, third)))} messages in the first third, ${Math.round(mean(within.slice(-third)))} in the last`,
    ];
  }

  private async look(): Promise<void> {
    const at = (Date.now() - this.began) / 1_000;
    const written: Record<string, number> = {};
    let depth = 0;
    for (const [name, role] of this.workers) {
      written[name] = (await role.metric('loam_readings_written_total{farm="north"}')) ?? 0;
      depth = Math.max(depth, (await role.metric('loam_queue_depth')) ?? 0);
    }
    this.samples.push({ at, written, depth });
  }
}
