import type { Counter } from 'prom-client';
import type { Queue } from '../backbone/queue/port.ts';
import { LabelValues, type Metrics } from '../core/metrics.ts';
import type { Batch, DeadLetter } from '../telemetry/batch.ts';
import type { Reading } from '../telemetry/reading.ts';

/** What a worker counts, for `/metrics`. */
export class WorkerCounters {
  private readonly batches: Counter;
  private readonly again: Counter;
  private readonly publishes: Counter<'farm'>;
  private readonly readings: Counter<'farm'>;
  private readonly dead: Counter<'farm' | 'reason'>;
  private readonly farms = new LabelValues();
  private readonly reasons = new LabelValues();

  constructor(metrics: Metrics, queue: Queue) {
    this.batches = metrics.counter('loam_worker_batches_total', 'Queue messages that were worked off');
    this.again = metrics.counter('loam_worker_redelivered_total', 'Queue messages that came for a second time or more');
    this.publishes = metrics.counter('loam_publishes_done_total', 'Publishes whose batch was worked off', ['farm']);
    this.readings = metrics.counter('loam_readings_written_total', 'Readings that the store has', ['farm']);
    this.dead = metrics.counter('loam_set_aside_total', 'Dead letters written by workers', ['farm', 'reason']);
    metrics.gauge('loam_queue_depth', 'Messages that wait in the queue or are being worked on', () => queue.depth());
  }

  redelivered(): void {
    this.again.inc();
  }

  /** A batch was acknowledged, with these readings of it stored. */
  stored(batch: Batch, readings: readonly Reading[]): void {
    this.batches.inc();
    for (const [farm, count] of countByFarm(batch.publishes)) this.publishes.inc({ farm: this.farms.of(farm) }, count);
    for (const [farm, count] of countByFarm(readings)) this.readings.inc({ farm: this.farms.of(farm) }, count);
  }

  setAside(letters: readonly DeadLetter[]): void {
    for (const { publish, reason } of letters) {
      this.dead.inc({ farm: this.farms.of(publish.farm), reason: this.reasons.of(reason) });
    }
  }
}

function countByFarm(of: readonly { readonly farm: string }[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { farm } of of) counts.set(farm, (counts.get(farm) ?? 0) + 1);
  return counts;
}
