import cliProgress from 'cli-progress';
import { clock } from '../../core/clock.ts';
import type { LoadReport, ReportInterval } from '../../simulators/load/report.ts';
import { printError } from '../output.ts';

/**
 * Shows on standard error how a run gets on: on a terminal a bar and a changing line, elsewhere a line every few
 * seconds.
 */
export interface View {
  /** Shows the progress of a step before the run: `done` of `of`. */
  preparing(what: string, done: number, of: number): void;
  stretch(stretch: ReportInterval): void;
  end(): void;
}

const PLAIN_EVERY_MS = 5_000;

/** `forMs` is how long the run is to last, where that is known. */
export function openView(forMs: number | undefined): View {
  return process.stderr.isTTY ? new TerminalView(forMs) : new PlainView();
}

class TerminalView implements View {
  private readonly bar: cliProgress.SingleBar;
  private readonly forMs: number | undefined;
  private phase = '';

  constructor(forMs: number | undefined) {
    this.forMs = forMs;
    this.bar = new cliProgress.SingleBar({
      format: '{bar} {clock} {text}',
      barsize: 18,
      hideCursor: true,
      clearOnComplete: false,
      stream: process.stderr,
      noTTYOutput: false,
      forceRedraw: true,
    });
  }

  preparing(what: string, done: number, of: number): void {
    this.begin(what, of);
    this.bar.update(done, { clock: `${done}/${of}`, text: what });
  }

  stretch(stretch: ReportInterval): void {
    this.begin('run', this.forMs ?? 1);
    const clock = `${(stretch.at / 1_000).toFixed(0)} s`;
    this.bar.update(Math.min(this.forMs ?? 0, stretch.at), { clock, text: line(stretch) });
  }

  end(): void {
    this.bar.stop();
  }

  private begin(phase: string, total: number): void {
    if (this.phase === phase) return;
    if (this.phase !== '') this.bar.stop();
    this.phase = phase;
    this.bar.start(total, 0, { clock: '', text: '' });
  }
}

class PlainView implements View {
  private at = -PLAIN_EVERY_MS;
  private prepared = '';

  preparing(what: string, done: number, of: number): void {
    const now = clock.passed();
    if (this.prepared === what && done < of && now - this.at < PLAIN_EVERY_MS) return;
    this.prepared = what;
    this.at = now;
    printError(`${what}: ${done} of ${of}\n`);
  }

  stretch(stretch: ReportInterval): void {
    const now = clock.passed();
    if (now - this.at < PLAIN_EVERY_MS) return;
    this.at = now;
    printError(`${(stretch.at / 1_000).toFixed(0)} s: ${line(stretch)}\n`);
  }

  end(): void {}
}

function line({ ms, acknowledged, inFlight, backlog, connected, latencyMs, errors }: ReportInterval): string {
  const rate = `${Math.round((acknowledged / Math.max(1, ms)) * 1_000)} acknowledged/s`;
  const times = latencyMs
    ? `p50 ${latencyMs.p50.toFixed(0)} p99 ${latencyMs.p99.toFixed(0)} max ${latencyMs.max.toFixed(0)} ms`
    : 'no acknowledgement';
  const behind = backlog > 0 ? `, ${backlog} behind` : '';
  return `${rate}, ${connected} connected, ${inFlight} in flight${behind}, ${times}, ${errors} errors`;
}

/** The report of a run in a few lines. */
export function tellReport(report: LoadReport): string[] {
  const { latencyMs: l } = report;
  return [
    ...(report.ended === 'stopped' ? ['Stopped before its end: what follows is of a part of the run.'] : []),
    `${report.sent} messages sent over ${report.connections} connections in ${report.seconds.toFixed(1)} s, ${report.acknowledged} acknowledged (${report.perSecond.toFixed(1)}/s), ${report.unacknowledged} not, ${report.connectionsLost} connections lost`,
    l
      ? `acknowledgement from when due: p50 ${l.p50.toFixed(1)} ms, p90 ${l.p90.toFixed(1)}, p99 ${l.p99.toFixed(1)}, p99.9 ${l.p999.toFixed(1)}, max ${l.max.toFixed(1)}`
      : 'no acknowledgement to measure',
    ...Object.entries(report.errors).map(([what, count]) => `${what}: ${count} ×`),
    report.generator.statement,
  ];
}
