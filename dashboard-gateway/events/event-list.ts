import type { Log } from '../../backbone/ports/log.ts';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import type { RecordedEvent } from '../../telemetry/event.ts';
import { type EventSource, eventsOfLog, eventsOfRegistry, type SourcePage, type WantedEvents } from './event-source.ts';

/** How far the pages so far have come in each source: only smaller numbers follow; undefined: from the newest on. */
export type EventCursor = readonly (number | undefined)[];

export interface EventPage {
  readonly events: readonly RecordedEvent[];
  /** Where the next page begins; undefined when there is none. It may find nothing all the same. */
  readonly next: EventCursor | undefined;
}

/** How many sources an EventList has. */
export const SOURCES = 3;

/**
 * The events of the event log, of the log of refusals, and of a registry that keeps its changes itself, as one list by
 * time, newest first.
 */
export class EventList {
  private readonly sources: readonly EventSource[];

  constructor(events: Log, refusals: Log, registry: RegistryPort) {
    const kept: EventSource = registry.keepsChanges ? eventsOfRegistry(registry) : nothing;
    this.sources = [eventsOfLog(events), eventsOfLog(refusals), kept];
  }

  /**
   * A page of what is wanted. It may have fewer than asked for, though more follow: one page looks at some thousand
   * events at most. Rejects with LogUnavailable or RegistryUnavailable.
   */
  async page(wanted: WantedEvents, from: EventCursor = []): Promise<EventPage> {
    const pages = await Promise.all(this.sources.map((source, i) => (from[i] === 0 ? END : source(from[i], wanted))));
    return merged(pages, wanted.limit);
  }
}

const END: SourcePage = { found: [], reached: 0, reachedAt: Number.NEGATIVE_INFINITY };
const nothing: EventSource = async () => END;

/**
 * Takes the newest of the sources' next ones again and again. It ends where a source may have a newer one that was not
 * looked at yet.
 */
function merged(pages: readonly SourcePage[], limit: number): EventPage {
  const taken = pages.map(() => 0);
  const events: RecordedEvent[] = [];
  const seen = new Set<string>();
  while (events.length < limit) {
    const heads = pages.map(({ found, reached, reachedAt }, i) => {
      const event = found[taken[i] ?? 0]?.event;
      return { event, at: event?.at ?? (reached === 0 ? Number.NEGATIVE_INFINITY : reachedAt) };
    });
    const newest = heads.reduce((best, { at }, i) => (at > (heads[best]?.at ?? at) ? i : best), 0);
    const event = heads[newest]?.event;
    if (event === undefined) break;
    taken[newest] = (taken[newest] ?? 0) + 1;
    // Several gateways may have written the same one.
    if (!seen.has(event.id)) events.push(event);
    seen.add(event.id);
  }
  const next = pages.map(({ found, reached }, i) => {
    const left = found[taken[i] ?? 0];
    return left === undefined ? reached : left.number + 1;
  });
  return { events, next: next.every((number) => number === 0) ? undefined : next };
}
