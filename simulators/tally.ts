import { createHistogram, performance, type RecordableHistogram } from 'node:perf_hooks';
import { clock } from '../core/clock.ts';
import type { Link } from './links/link.ts';
import type { ThreadReport } from './load/driver.ts';
import type { Sending } from './profile/stream.ts';

const LONGEST_US = 3_600_000_000;
const MOST_KINDS_OF_ERRORS = 20;

/** Counts what the devices of a run send and what becomes of it. */
export class Tally {
  readings = 0;
  duplicates = 0;
  malformed = 0;
  failed = 0;
  private readonly links: readonly Link[];
  private sentCount = 0;
  private acknowledged = 0;
  private latency = newHistogram();
  private lateness = newHistogram();
  private utilization = performance.eventLoopUtilization();

  constructor(links: readonly Link[]) {
    this.links = links;
  }

  /** A message was given to its link, which was `connected` or not; `due` is of `clock.passed()`. */
  sent({ kind, seqs }: Sending, due: number, connected: boolean): void {
    this.sentCount += 1;
    if (connected) this.lateness.record(microseconds(clock.passed() - due));
    if (kind === 'again') this.duplicates += 1;
    else if (kind === 'malformed') this.malformed += 1;
    else this.readings += seqs.length;
  }

  settled({ qos }: Sending, due: number, acknowledged: boolean): void {
    if (!acknowledged) {
      this.failed += 1;
      return;
    }
    this.acknowledged += 1;
    if (qos === 1) this.latency.record(microseconds(clock.passed() - due));
  }

  /** The report since the last call, in the load generator's form. */
  report(): ThreadReport {
    const utilization = performance.eventLoopUtilization();
    const errors: Record<string, number> = {};
    for (const { refused } of this.links) {
      const what = refused ? `connection refused: ${refused.why}` : '';
      if (what && (errors[what] !== undefined || Object.keys(errors).length < MOST_KINDS_OF_ERRORS)) {
        errors[what] = (errors[what] ?? 0) + 1;
      }
    }
    const told: ThreadReport = {
      due: this.sentCount,
      sent: this.sentCount,
      acknowledged: this.acknowledged,
      resent: 0,
      lost: this.links.reduce((sum, { breaks }) => sum + breaks, 0),
      refused: 0,
      connected: this.links.filter(({ connected }) => connected).length,
      inFlight: this.links.reduce((sum, { pending }) => sum + pending, 0),
      latency: this.latency,
      lateness: this.lateness,
      busy: performance.eventLoopUtilization(utilization, this.utilization).utilization,
      errors,
      promises: '',
    };
    this.utilization = utilization;
    this.latency = newHistogram();
    this.lateness = newHistogram();
    return told;
  }
}

function newHistogram(): RecordableHistogram {
  return createHistogram({ lowest: 1, highest: LONGEST_US, figures: 3 });
}

function microseconds(ms: number): number {
  return Math.min(LONGEST_US, Math.max(1, Math.round(ms * 1_000)));
}
