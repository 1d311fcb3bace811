import { randomUUID } from 'node:crypto';
import { EventWriter } from '../../backbone/events/event-writer.ts';
import type { RefusalBook, RefusalNote } from '../../backbone/events/refusal-book.ts';
import type { Log } from '../../backbone/ports/log.ts';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import type { RecordedEvent } from '../../telemetry/event.ts';
import type { ActKind, Noted } from '../../telemetry/noted.ts';
import { EventList } from './event-list.ts';
import { OverwrittenValues } from './overwritten.ts';
import { RecentRefusals } from './recent-refusals.ts';
import { RegistryChanges } from './registry-changes.ts';

export interface EventRecorderOptions {
  readonly events: Log;
  readonly refusals: RefusalBook;
  readonly registry: RegistryPort;
  readonly metrics?: Metrics | undefined;
  readonly logger: Logger;
  /** Unix ms. */
  readonly now: () => number;
}

/** What a user did. See `Noted`. */
export interface Act {
  readonly kind: ActKind;
  readonly who: string;
  readonly from: string;
  readonly farm?: string;
  readonly sensor?: string;
  readonly what?: string;
}

/**
 * What a gateway records: values that overwrite others, on the live log and by imports; changes of the registry; what
 * users do; and whom it refused.
 */
export class EventRecorder {
  readonly overwritten: OverwrittenValues;
  /** Everything that was recorded, here and elsewhere. */
  readonly list: EventList;
  readonly recent: RecentRefusals;
  private readonly options: EventRecorderOptions;
  private readonly registry: RegistryChanges;
  private readonly writer: EventWriter;

  constructor(options: EventRecorderOptions) {
    const { events, refusals, registry, logger } = options;
    const writer = new EventWriter(events, logger);
    this.options = options;
    this.writer = writer;
    this.overwritten = new OverwrittenValues({ ...options, write: (event) => writer.write(event) });
    this.registry = new RegistryChanges(registry, (event) => writer.write(event), logger);
    this.list = new EventList(events, refusals.log, registry);
    this.recent = new RecentRefusals(refusals.log, logger);
    options.metrics?.counts('loam_events_total', 'Events of the event log: written, lost, and those not read', () => ({
      ...writer.counters,
      ...this.registry.counters,
      unreadable: this.overwritten.counters.unreadable,
      newer: this.overwritten.counters.newer,
    }));
  }

  start(): void {
    this.registry.start();
    this.recent.start();
  }

  /** Resolves when the events are in the log, or are counted as lost. */
  async stop(): Promise<void> {
    await this.recent.stop();
    await this.registry.stop();
    await this.writer.stop();
  }

  /** Writes down what a user did, in the event log and as a line of the process's log. Returns at once. */
  did({ kind, who, from, farm = '', sensor = '', what = '' }: Act): void {
    const act: Noted = {
      kind,
      id: randomUUID(),
      at: this.options.now(),
      ...{ who, from, farm, sensor, what },
      why: '',
      count: 1,
    };
    this.writer.write(act);
    this.options.logger.info({ event: kind, from, who, farm, sensor, what }, SENTENCES[kind]);
  }

  /** Writes down whom the gateway refused. Returns at once. */
  refused(refusal: Omit<RefusalNote, 'kind'>): void {
    this.options.refusals.note({ kind: 'sign_in_refused', ...refusal });
  }

  /** Writes down what an import overwrote. Resolves when all events are in hand, which may be before the log has them. Never rejects. */
  imported(events: Iterable<RecordedEvent>): Promise<void> {
    return this.writer.writeAll(events);
  }
}

const SENTENCES: Readonly<Record<ActKind, string>> = {
  signed_in: 'somebody signed in',
  signed_out: 'somebody signed out',
  password_changed: 'somebody has a new password',
  imported: 'readings were imported',
  exported: 'readings are exported',
  command_sent: 'a command was sent',
  letter_replayed: 'a dead letter was replayed',
  letter_discarded: 'a dead letter was discarded',
};
