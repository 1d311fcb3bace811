import { type LoadOptions, runLoad } from './load.ts';
import type { LoadPlan } from './plan.ts';
import type { LoadReport, ReportInterval } from './report.ts';

/** One rate that was tried. */
export interface Step {
  /** Publishes a second. */
  readonly rate: number;
  readonly acknowledgedPerSecond: number;
  readonly p99Ms: number | undefined;
  /** Publishes that were due and not sent at its end. */
  readonly backlog: number;
  readonly held: boolean;
}

export interface BreakReport extends LoadReport {
  readonly steps: readonly Step[];
  /** The highest rate that held; undefined when the first one did not. */
  readonly heldRate: number | undefined;
  /** Why the next rate did not hold; undefined when the run ended before that. */
  readonly broke: string | undefined;
}

const GROWTH = 1.5;
const STEP_MS = 10_000;
const WORST_P99_MS = 1_000;
const LEAST_SHARE = 0.95;

/**
 * Raises the rate by half every 10 s, from `plan.pace.rate` on, until the receiver does not keep up: the 99th
 * percentile of the latency is over a second, less than 95 % of what was due is acknowledged, or more publishes wait
 * than are due in a second. Rejects as `runLoad` does.
 */
export async function runUntilBreak(plan: LoadPlan, options: LoadOptions = {}): Promise<BreakReport> {
  if (plan.pace.loop !== 'open') throw new RangeError('a rate to begin with is needed');
  const broken = new AbortController();
  const steps: Step[] = [];
  let broke: string | undefined;
  let { rate } = plan.pace;
  let change: (rate: number) => void = () => {};
  let own: ReportInterval[] = [];
  let began = 0;
  const report = await runLoad(plan, {
    ...options,
    signal: options.signal ? AbortSignal.any([options.signal, broken.signal]) : broken.signal,
    onBegin: (controls) => {
      change = controls.changeRate;
      options.onBegin?.(controls);
    },
    onStretch: (stretch) => {
      options.onStretch?.(stretch);
      // The first 1.5 s of a step still show the step before.
      if (stretch.at - began > 1_500) own.push(stretch);
      if (stretch.at - began < STEP_MS) return;
      const { why, ...found } = judge(rate, own);
      steps.push({ ...found, held: why === undefined });
      if (why !== undefined) {
        broke = why;
        broken.abort();
        return;
      }
      [rate, own, began] = [rate * GROWTH, [], stretch.at];
      change(rate);
    },
  });
  // A run that ended because the receiver did not keep up is done, not stopped: that was its purpose.
  const ended = options.signal?.aborted ? 'stopped' : 'done';
  return { ...report, ended, steps, heldRate: steps.filter(({ held }) => held).at(-1)?.rate, broke };
}

function judge(
  rate: number,
  stretches: readonly ReportInterval[],
): Omit<Step, 'held'> & { readonly why: string | undefined } {
  const ms = stretches.reduce((sum, stretch) => sum + stretch.ms, 0);
  const acknowledgedPerSecond = (stretches.reduce((sum, { acknowledged }) => sum + acknowledged, 0) / ms) * 1_000;
  const p99s = stretches.flatMap(({ latencyMs }) => latencyMs?.p99 ?? []).sort((a, b) => a - b);
  const p99Ms = p99s[Math.floor(p99s.length / 2)];
  const backlog = stretches.at(-1)?.backlog ?? 0;
  const found = { rate, acknowledgedPerSecond, p99Ms, backlog };
  if (acknowledgedPerSecond < rate * LEAST_SHARE) {
    return { ...found, why: `at ${Math.round(rate)}/s only ${Math.round(acknowledgedPerSecond)}/s were acknowledged` };
  }
  if ((p99Ms ?? 0) > WORST_P99_MS) {
    return { ...found, why: `at ${Math.round(rate)}/s one in a hundred took over ${Math.round(p99Ms ?? 0)} ms` };
  }
  if (backlog > rate) return { ...found, why: `at ${Math.round(rate)}/s ${backlog} publishes were waiting` };
  return { ...found, why: undefined };
}
