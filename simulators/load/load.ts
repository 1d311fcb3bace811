import { type FileHandle, open } from 'node:fs/promises';
import { createHistogram, type RecordableHistogram } from 'node:perf_hooks';
import { BrokerUnreachable, CredentialsRefused, explain } from '../../core/errors.ts';
import { pause, withDeadline } from '../../core/lifecycle.ts';
import { Crew } from './crew.ts';
import type { Refusal, Tidings } from './driver.ts';
import { completePlan, type FullPlan, type LoadPlan } from './plan.ts';
import { generatorOf, type LoadReport, latencyOf, type Stretch, stretchOf, together } from './report.ts';

const STRETCH_MS = 1_000;
/** CONNACK codes by which a broker refuses who connects: 2 for the client id, 4 and 5 for the credentials. */
const WHO = new Set([2, 4, 5]);

export interface LoadOptions {
  /** Ends the run early: what was sent is still waited for, and reported. */
  readonly signal?: AbortSignal;
  /** Called about once a second with the stretch that has just passed. */
  readonly onStretch?: (stretch: Stretch) => void;
  /** Called about once a second while connections come up. */
  readonly onConnecting?: (connected: number) => void;
  /** Called when all connections are up and publishing begins; `changeRate` is for open loops: a second, over all connections. */
  readonly onBegin?: (controls: { changeRate(rate: number): void }) => void;
}

/**
 * Runs a load test: opens all connections, publishes as planned, waits for what is unacknowledged, and resolves with what it found.
 * Connections that break come back by themselves, and send again what was not acknowledged.
 *
 * Rejects, before anything was published, with BrokerUnreachable when the connections do not come up in time and CredentialsRefused when
 * the broker refuses who connects; with RangeError for a plan that cannot be run. A signal before publishing gives an empty report.
 */
export async function runLoad(given: LoadPlan, options: LoadOptions = {}): Promise<LoadReport> {
  const plan = completePlan(given);
  const file = plan.promises === undefined ? undefined : await open(plan.promises, 'a');
  const start = new Start(plan);
  const crew = new Crew(plan, (refusal) => start.note(refusal));
  const record = new RunRecord(plan, file);
  try {
    if (await start.up(crew, options)) {
      await publish(plan, crew, record, options);
      await settle(plan, crew, record);
    }
    return record.report(options.signal?.aborted ? 'stopped' : 'done');
  } finally {
    await crew.end();
    await file?.close();
  }
}

/** The time until all connections are up. */
class Start {
  private readonly plan: FullPlan;
  private readonly over = new AbortController();
  private refusal: Refusal | undefined;
  private problem: Error | undefined;

  constructor(plan: FullPlan) {
    this.plan = plan;
  }

  note(refusal: Refusal): void {
    if (this.over.signal.aborted) return;
    this.refusal = refusal;
    if (!WHO.has(refusal.code ?? 0)) return;
    const { clientId, why } = refusal;
    this.problem = new CredentialsRefused(`${this.plan.url} refuses ${clientId}: ${why}`);
    this.over.abort();
  }

  /** Resolves true when all are up, false when the run was stopped before. */
  async up(crew: Crew, { signal, onConnecting }: LoadOptions): Promise<boolean> {
    const end = () => this.over.abort();
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted) end();
    let isUp = false;
    const ready = Promise.race([crew.ready, crew.failed]).then(() => {
      isUp = true;
    });
    ready.then(end, end);
    try {
      // Threads answer once they have started, which is no fault of the broker's.
      let { connected } = together(await crew.tell());
      let since = performance.now();
      while (!this.over.signal.aborted && performance.now() - since < this.plan.connectWithinMs) {
        await pause(Math.min(STRETCH_MS, this.plan.connectWithinMs), this.over.signal);
        if (this.over.signal.aborted) break;
        const before = connected;
        connected = together(await crew.tell()).connected;
        if (connected > before) since = performance.now();
        onConnecting?.(connected);
      }
      if (isUp) return true;
      if (this.problem) throw this.problem;
      if (signal?.aborted) return false;
      if (this.over.signal.aborted) await ready;
      throw this.unreachable(connected);
    } finally {
      this.over.abort();
      signal?.removeEventListener('abort', end);
    }
  }

  private unreachable(connected: number): BrokerUnreachable {
    const { url, connections, connectWithinMs } = this.plan;
    const why = this.refusal ? `: ${this.refusal.why}` : '';
    return new BrokerUnreachable(
      `${url}: ${connected} of ${connections.length} connections came up, and none more for ${connectWithinMs / 1_000} s${why}`,
    );
  }
}

async function publish(plan: FullPlan, crew: Crew, record: RunRecord, options: LoadOptions): Promise<void> {
  const over = new AbortController();
  const end = () => over.abort();
  options.signal?.addEventListener('abort', end, { once: true });
  const timer = plan.forMs === undefined ? undefined : setTimeout(end, plan.forMs);
  if (plan.total !== undefined) crew.finished.then(end, end);
  record.begin();
  crew.begin();
  options.onBegin?.({ changeRate: (rate) => crew.changeRate(rate) });
  try {
    while (!over.signal.aborted) {
      await Promise.race([pause(STRETCH_MS, over.signal), crew.failed]);
      const stretch = await record.take(crew);
      options.onStretch?.(stretch);
    }
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', end);
  }
}

/** Waits for the acknowledgements that are still to come, as long as the plan allows. */
async function settle(plan: FullPlan, crew: Crew, record: RunRecord): Promise<void> {
  record.sendingEnded();
  crew.halt();
  try {
    await withDeadline(Promise.race([crew.finished, crew.failed]), plan.graceMs, 'some acknowledgements did not come');
  } catch (error) {
    record.note(explain(error));
  }
  await record.take(crew);
}

/** What has been found so far. */
class RunRecord {
  private readonly plan: FullPlan;
  private readonly file: FileHandle | undefined;
  private readonly stretches: Stretch[] = [];
  private readonly busy: number[] = [];
  private readonly latency: RecordableHistogram = createHistogram();
  private readonly lateness: RecordableHistogram = createHistogram();
  private readonly notes: string[] = [];
  private last: Tidings | undefined;
  private startedAt = 0;
  private lastAt = 0;
  private sendingMs: number | undefined;

  constructor(plan: FullPlan, file: FileHandle | undefined) {
    this.plan = plan;
    this.file = file;
  }

  begin(): void {
    this.startedAt = performance.now();
    this.lastAt = this.startedAt;
  }

  sendingEnded(): void {
    this.sendingMs = this.lastAt - this.startedAt;
  }

  note(what: string): void {
    this.notes.push(what);
  }

  /** Asks the crew for what happened since the last time, and keeps it. */
  async take(crew: Crew): Promise<Stretch> {
    const now = together(await crew.tell());
    const at = performance.now();
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
    const { plan, last, sendingMs = 0 } = this;
    const measured = this.stretches.filter((stretch) => this.measured(stretch) && stretch.at <= sendingMs + 1);
    const seconds = measured.reduce((sum, { ms }) => sum + ms, 0) / 1_000;
    const acknowledged = measured.reduce((sum, stretch) => sum + stretch.acknowledged, 0);
    const busiest = median(this.busy);
    return {
      connections: plan.connections.length,
      qos: plan.qos,
      loop: plan.pace.loop,
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
      generator: generatorOf(plan.threads, busiest, this.lateness, plan.pace.loop),
      ended,
    };
  }

  private measured({ at, ms }: Stretch): boolean {
    return at - ms >= this.plan.warmupMs - 1;
  }
}

function median(numbers: readonly number[]): number {
  const sorted = [...numbers].sort((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
