import type { Log, LogEntry } from '../../backbone/ports/log.ts';
import type { RegistryPort } from '../../backbone/ports/registry.ts';
import { EncodingInvalid, Trimmed } from '../../core/errors.ts';
import { decodeEvent, type RecordedEvent } from '../../telemetry/event.ts';
import { eventOf } from './registry-changes.ts';

/** An event with its number in the log or registry that has it. */
export interface NumberedEvent {
  readonly number: number;
  readonly event: RecordedEvent;
}

/**
 * The next events of one source, newest first. `reached`: every event numbered so or higher was looked at; 0 when there
 * are no older ones. `reachedAt`: when the last one was that was looked at, whether it fits or not.
 */
export interface SourcePage {
  readonly found: readonly NumberedEvent[];
  readonly reached: number;
  readonly reachedAt: number;
}

/** What is looked for. */
export interface WantedEvents {
  readonly fits: (event: RecordedEvent) => boolean;
  /** Unix ms: older ones are not looked for. */
  readonly since: number;
  readonly limit: number;
}

/** Where events are kept. `before`: only those with a smaller number. Rejects with LogUnavailable or RegistryUnavailable. */
export type EventSource = (before: number | undefined, wanted: WantedEvents) => Promise<SourcePage>;

const AT_ONCE = 500;
/** Most events that one page looks at: a search for what is rare goes on with the next page. */
const MOST_LOOKED_AT = 5_000;

/** The events of a log. Its entries are numbered by their offsets. */
export function eventsOfLog(log: Log): EventSource {
  return async (before, { fits, since, limit }) => {
    const { first, next } = await log.head();
    const found: NumberedEvent[] = [];
    let reached = Math.min(before ?? next, next);
    let reachedAt = Number.POSITIVE_INFINITY;
    const least = Math.max(first, reached - MOST_LOOKED_AT);
    while (reached > least) {
      const from = Math.max(least, reached - AT_ONCE);
      const events = eventsIn(await readUpTo(log, from, reached));
      for (const one of events.reverse()) {
        reached = one.number;
        reachedAt = one.event.at;
        if (reachedAt < since) return { found, reached: 0, reachedAt };
        if (fits(one.event)) found.push(one);
        if (found.length >= limit) return { found, reached, reachedAt };
      }
      reached = from;
    }
    return { found, reached: reached <= first ? 0 : reached, reachedAt };
  };
}

/** The changes that a registry keeps itself, numbered as it does. */
export function eventsOfRegistry(registry: RegistryPort): EventSource {
  return async (before, { fits, since, limit }) => {
    const found: NumberedEvent[] = [];
    let reached = before;
    let reachedAt = Number.POSITIVE_INFINITY;
    for (let looked = 0; looked < MOST_LOOKED_AT && reached !== 0; ) {
      const changes = await registry.newestChanges(reached, AT_ONCE);
      looked += AT_ONCE;
      if (changes.length === 0) reached = 0;
      for (const change of changes) {
        reached = change.seq;
        reachedAt = change.when;
        if (reachedAt < since) return { found, reached: 0, reachedAt };
        const event = eventOf(change);
        if (fits(event)) found.push({ number: change.seq, event });
        if (found.length >= limit) return { found, reached, reachedAt };
      }
    }
    return { found, reached: reached ?? 0, reachedAt };
  };
}

/** What was trimmed meanwhile is not there any more. */
async function readUpTo(log: Log, from: number, before: number): Promise<LogEntry[]> {
  try {
    const entries = await log.read({ offset: from }, before - from);
    return entries.filter(({ offset }) => offset < before);
  } catch (error) {
    if (error instanceof Trimmed) return [];
    throw error;
  }
}

function eventsIn(entries: readonly LogEntry[]): NumberedEvent[] {
  return entries.flatMap(({ offset, body }) => {
    const event = readEvent(body);
    return event ? [{ number: offset, event }] : [];
  });
}

/** Undefined for one that cannot be read, or that a newer Loam wrote. */
export function readEvent(body: Uint8Array): RecordedEvent | undefined {
  try {
    return decodeEvent(body);
  } catch (error) {
    if (error instanceof EncodingInvalid) return undefined;
    throw error;
  }
}
