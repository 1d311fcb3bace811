import type { FileHandle } from 'node:fs/promises';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { clock } from '../../core/clock.ts';
import type { ThreadReport } from './driver.ts';
import { generatorOf, type LoadReport, latencyOf, type ReportInterval, stretchOf } from './report.ts';

/** Facts of a run that are known before it begins. */
export interface RunFacts {
  readonly connections: number;
  readonly qos: 0 | 1;
  readonly loop: 'open' | 'closed';
  readonly threads: number;
  readonly warmupMs: number;
}

/** Collects what a run finds. */
export class RunRecord {
  private readonly facts: RunFacts;
  private readonly file: FileHandle | undefined;
  private readonly stretches: ReportInterval[] = [];
  private readonly busy: number[] = [];
  private readonly latency: RecordableHistogram = createHistogram();
  private readonly lateness: RecordableHistogram = createHistogram();
  private readonly notes: string[] = [];
  private last: ThreadReport | undefined;
  private startedAt = 0;
  private lastAt = 0;
  private sendingMs: number | undefined;

  constructor(facts: RunFacts, file?: FileHandle) {
    this.facts = facts;
    this.file = file;
  }

  begin(): void {
    this.startedAt = clock.passed();
    this.lastAt = this.startedAt;
  }

  sendingEnded(): void {
    this.sendingMs = this.lastAt - this.startedAt;
  }

  note(what: string): void {
    this.notes.push(what);
  }

  /** Adds the report `now`, and resolves with what happened since the last one. */
  async take(now: ThreadReport): Promise<ReportInterval> {
    const at = clock.passed();
    const stretch = stretchOf(this.last, now, at - this.startedAt, at - this.lastAt);
    if (this.file && now.promises) await this.file.appendFile(now.promises);
    if (this.measured(stretch)) {
      this.latency.add(now.latency);
      this.lateness.add(now.lateness);
      if (this.sendingMs === undefined) this.busy.push(now.busy);
    }
    this.stretches.push(stretch);
    this.last = now;
    this.lastAt = at;
    return stretch;
  }

  report(ended: LoadReport['ended']): LoadReport {
    const { facts, last, sendingMs = 0 } = this;
    const measured = this.stretches.filter((stretch) => this.measured(stretch) && stretch.at <= sendingMs + 1);
    const seconds = measured.reduce((sum, { ms }) => sum + ms, 0) / 1_000;
    const acknowledged = measured.reduce((sum, stretch) => sum + stretch.acknowledged, 0);
    const busiest = median(this.busy);
    return {
      connections: facts.connections,
      qos: facts.qos,
      loop: facts.loop,
      seconds,
      due: last?.due ?? 0,
      sent: last?.sent ?? 0,
      acknowledged: last?.acknowledged ?? 0,
      resent: last?.resent ?? 0,
      unacknowledged: (last?.sent ?? 0) - (last?.acknowledged ?? 0),
      perSecond: seconds > 0 ? acknowledged / seconds : 0,
      latencyMs: latencyOf(this.latency),
      connectionsLost: last?.lost ?? 0,
      connectionsRefused: last?.refused ?? 0,
      errors: { ...last?.errors, ...Object.fromEntries(this.notes.map((what) => [what, 1])) },
      stretches: this.stretches,
      generator: generatorOf(facts.threads, busiest, this.lateness, facts.loop),
      ended,
    };
  }

  private measured({ at, ms }: ReportInterval): boolean {
    return at - ms >= this.facts.warmupMs - 1;
  }
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
