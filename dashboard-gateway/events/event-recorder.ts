import type { Log } from '../../backbone/ports/log.ts';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { RecordedEvent } from '../../telemetry/event.ts';
import { EventWriter } from './event-writer.ts';
import { OverwrittenValues } from './overwritten.ts';
import { RegistryChanges } from './registry-changes.ts';

export interface EventRecorderOptions {
  readonly events: Log;
  readonly registry: RegistryPort;
  readonly metrics?: Metrics | undefined;
  readonly logger: Logger;
  /** Unix ms. */
  readonly now: () => number;
}

/** What a gateway records in the event log: values that overwrite others, on the live log and by imports; changes of the registry. */
export class EventRecorder {
  readonly overwritten: OverwrittenValues;
  private readonly registry: RegistryChanges;
  private readonly writer: EventWriter;

  constructor(options: EventRecorderOptions) {
    const writer = new EventWriter(options.events, options.logger);
    this.writer = writer;
    this.overwritten = new OverwrittenValues({ ...options, write: (event) => writer.write(event) });
    this.registry = new RegistryChanges(options.registry, (event) => writer.write(event), options.logger);
    options.metrics?.counts('loam_events_total', 'Events of the event log: written, lost, and those not read', () => ({
      ...writer.counters,
      ...this.registry.counters,
      unreadable: this.overwritten.counters.unreadable,
      newer: this.overwritten.counters.newer,
    }));
  }

  start(): void {
    this.registry.start();
  }

  /** Resolves when the events are in the log, or are counted as lost. */
  async stop(): Promise<void> {
    await this.registry.stop();
    await this.writer.stop();
  }

  /** Writes down what an import overwrote. Resolves when all events are in hand, which may be before the log has them. Never rejects. */
  imported(events: Iterable<RecordedEvent>): Promise<void> {
    return this.writer.writeAll(events);
  }
}
