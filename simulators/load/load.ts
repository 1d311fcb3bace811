import { open } from 'node:fs/promises';
import { clock } from '../../core/clock.ts';
import { BrokerUnreachable, CredentialsRefused, explain } from '../../core/errors.ts';
import { pause, withDeadline } from '../../core/timing.ts';
import type { ConnectRefusal } from './driver.ts';
import { LoadThreads } from './load-threads.ts';
import { completePlan, type FullPlan, type LoadPlan } from './plan.ts';
import { RunRecord } from './record.ts';
import { type LoadReport, type ReportInterval, together } from './report.ts';

const STRETCH_MS = 1_000;
/** CONNACK return codes that refuse the client itself: 2 for the client id, 4 and 5 for the credentials. */
const CLIENT_REFUSED_CODES = new Set([2, 4, 5]);

export interface LoadOptions {
  /** Ends the run early: what was sent is still waited for, and reported. */
  readonly signal?: AbortSignal;
  /** Called about once a second with the figures since the last call. */
  readonly onStretch?: (stretch: ReportInterval) => void;
  /** Called about once a second while connections come up. */
  readonly onConnecting?: (connected: number) => void;
  /** All connections are up and publishing begins. `changeRate` (open loop) sets their publishes a second together. */
  readonly onBegin?: (controls: { changeRate(rate: number): void }) => void;
}

/**
 * Runs a load test: opens all connections, publishes as planned, waits for missing acknowledgements, and resolves with
 * what it found.
 * Connections that break reconnect by themselves, and send unacknowledged publishes again.
 *
 * Rejects before anything was published: with BrokerUnreachable when the connections do not come up in time, with
 * CredentialsRefused when the broker refuses a client, with RangeError for a plan that cannot be run. A signal before
 * publishing gives an empty report.
 */
export async function runLoad(given: LoadPlan, options: LoadOptions = {}): Promise<LoadReport> {
  const plan = completePlan(given);
  const file = plan.promises === undefined ? undefined : await open(plan.promises, 'a');
  const start = new LoadStart(plan);
  const threads = new LoadThreads(plan, (refusal) => start.note(refusal));
  const record = new RunRecord(
    {
      connections: plan.connections.length,
      qos: plan.qos,
      loop: plan.pace.loop,
      threads: plan.threads,
      warmupMs: plan.warmupMs,
    },
    file,
  );
  try {
    if (await start.up(threads, options)) {
      await publish(plan, threads, record, options);
      await settle(plan, threads, record);
    }
    return record.report(options.signal?.aborted ? 'stopped' : 'done');
  } finally {
    await threads.end();
    await file?.close();
  }
}

/** The time until all connections are up. */
class LoadStart {
  private readonly plan: FullPlan;
  private readonly over = new AbortController();
  private refusal: ConnectRefusal | undefined;
  private problem: Error | undefined;

  constructor(plan: FullPlan) {
    this.plan = plan;
  }

  note(refusal: ConnectRefusal): void {
    if (this.over.signal.aborted) return;
    this.refusal = refusal;
    if (!CLIENT_REFUSED_CODES.has(refusal.code ?? 0)) return;
    const { clientId, why } = refusal;
    this.problem = new CredentialsRefused(`${this.plan.url} refuses ${clientId}: ${why}`);
    this.over.abort();
  }

  /** Resolves with true when all connections are up, with false when the signal stopped the run before that. */
  async up(threads: LoadThreads, { signal, onConnecting }: LoadOptions): Promise<boolean> {
    const end = () => this.over.abort();
    signal?.addEventListener('abort', end, { once: true });
    if (signal?.aborted) end();
    let isUp = false;
    const ready = Promise.race([threads.ready, threads.failed]).then(() => {
      isUp = true;
    });
    ready.then(end, end);
    try {
      // Threads answer only when they have started. That is no fault of the broker, so the limit begins after it.
      let { connected } = together(await threads.tell());
      let since = clock.passed();
      while (!this.over.signal.aborted && clock.passed() - since < this.plan.connectWithinMs) {
        await pause(Math.min(STRETCH_MS, this.plan.connectWithinMs), this.over.signal);
        if (this.over.signal.aborted) break;
        const before = connected;
        connected = together(await threads.tell()).connected;
        if (connected > before) since = clock.passed();
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

async function publish(plan: FullPlan, threads: LoadThreads, record: RunRecord, options: LoadOptions): Promise<void> {
  const over = new AbortController();
  const end = () => over.abort();
  options.signal?.addEventListener('abort', end, { once: true });
  const timer = plan.forMs === undefined ? undefined : setTimeout(end, plan.forMs);
  if (plan.total !== undefined) threads.finished.then(end, end);
  record.begin();
  threads.begin();
  options.onBegin?.({ changeRate: (rate) => threads.changeRate(rate) });
  try {
    while (!over.signal.aborted) {
      await Promise.race([pause(STRETCH_MS, over.signal), threads.failed]);
      const stretch = await record.take(together(await threads.tell()));
      options.onStretch?.(stretch);
    }
  } finally {
    clearTimeout(timer);
    options.signal?.removeEventListener('abort', end);
  }
}

/** Waits for the acknowledgements that are still to come, as long as the plan allows. */
async function settle(plan: FullPlan, threads: LoadThreads, record: RunRecord): Promise<void> {
  record.sendingEnded();
  threads.halt();
  try {
    await withDeadline(
      Promise.race([threads.finished, threads.failed]),
      plan.graceMs,
      'some acknowledgements did not come',
    );
  } catch (error) {
    record.note(explain(error));
  }
  await record.take(together(await threads.tell()));
}
