import { randomUUID } from 'node:crypto';
import { clock } from '../../core/clock.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { countingKey, usualAddress } from '../../core/networks.ts';
import type { Noted, RefusalKind } from '../../telemetry/noted.ts';
import { cut, MOST_NAME, MOST_NOTED } from '../../telemetry/noted.ts';
import type { Log } from '../ports/log.ts';
import { EventWriter } from './event-writer.ts';

const MINUTE_MS = 60_000;
/**
 * So many different refusals are told in a minute, and so many of one address or IPv6 network (/64): of sensors that are
 * in the registry, and of everybody. Strangers know few of those names, so they cannot take up all the room.
 */
const MOST_IN_ALL = { known: 120, strange: 60 } as const;
const MOST_OF_ADDRESS = { known: 60, strange: 10 } as const;
/** And so many of the known sensors of one farm, from wherever they come. */
const MOST_OF_FARM = 60;
/** The reason of an entry that stands for those beyond these limits. */
export const MANY = 'many';

const SENTENCES: Readonly<Record<RefusalKind, string>> = {
  mqtt_refused: 'an MQTT client was refused',
  taken_over: 'a client with the same client id took a connection over',
  sign_in_refused: 'a sign-in was refused',
};

/** A refusal, as whoever refuses tells it. See `Noted`. */
export interface RefusalNote {
  readonly kind: RefusalKind;
  readonly from: string;
  readonly why: string;
  readonly who?: string;
  readonly farm?: string;
  readonly sensor?: string;
  readonly what?: string;
  /** Whether it names a sensor or user that is in the registry. */
  readonly isKnown?: boolean;
}

export interface RefusalBookOptions {
  /** The log of refusals. */
  readonly refusals: Log;
  readonly logger: Logger;
  readonly metrics?: Metrics | undefined;
  readonly minuteMs?: number;
}

/** One kind of refusal of one address, name and reason within a minute. */
interface RefusalCount {
  note: RefusalNote;
  /** Those that were not told yet, and when the last of them was. */
  more: number;
  at: number;
}

interface BeyondCount {
  readonly kind: RefusalKind;
  readonly from: string;
  readonly farm: string;
  count: number;
}

/**
 * Writes refusals down: in the log of refusals, and as a line each in the process's own log. It answers at once and
 * holds nobody up.
 *
 * The first of an address, name and reason is told at once. Further ones within the minute are counted and told at its
 * end, in one entry with their number; if they go on, one such entry a minute follows. So a flood writes little.
 */
export class RefusalBook {
  readonly log: Log;
  /** Of all that were `refused`, `beyond` are those without room for an entry of their own. `told` counts the entries. */
  readonly counters = { refused: 0, told: 0, beyond: 0 };
  private readonly logger: Logger;
  private readonly writer: EventWriter;
  private readonly timer: NodeJS.Timeout;
  private told = new Map<string, RefusalCount>();
  /** The keys of those that went on in the minute before: they are told at the end of this one only. */
  private goingOn: ReadonlySet<string> = new Set();
  private ofAddress = new Map<string, number>();
  private ofFarm = new Map<string, number>();
  private beyond = new Map<string, BeyondCount>();
  private strange = 0;

  constructor({ refusals, logger, metrics, minuteMs = MINUTE_MS }: RefusalBookOptions) {
    this.log = refusals;
    this.logger = logger;
    this.writer = new EventWriter(refusals, logger, 'refusals');
    this.timer = setInterval(() => this.endMinute(), minuteMs);
    this.timer.unref();
    metrics?.counts(
      'loam_refusals_total',
      'Refused clients and sign-ins, and the entries that were made of them, written or lost',
      () => ({ ...this.counters, ...this.writer.counters }),
    );
  }

  /** Returns at once. */
  readonly note = (given: RefusalNote): void => {
    const note = bounded(given);
    this.counters.refused += 1;
    const place = countingKey(note.from);
    const { kind, why, who = '', farm = '', sensor = '' } = note;
    const key = JSON.stringify([kind, place, why, who, farm, sensor]);
    const known = this.told.get(key);
    if (known) {
      known.more += 1;
      known.at = clock.now();
      return;
    }
    if (!this.hasRoom(note, place)) return;
    const isFirst = !this.goingOn.has(key);
    this.told.set(key, { note, more: isFirst ? 0 : 1, at: clock.now() });
    if (isFirst) this.tell(note, clock.now(), 1);
  };

  /** Resolves when everything is in the log, or is counted as lost. */
  async stop(): Promise<void> {
    clearInterval(this.timer);
    this.endMinute();
    await this.writer.stop();
  }

  /** Whether this refusal gets an entry of its own. If not, it is counted for its address, or for all addresses. */
  private hasRoom(note: RefusalNote, place: string): boolean {
    const kind = note.isKnown ? 'known' : 'strange';
    const ofAddress = this.ofAddress.get(place) ?? 0;
    const inAll = note.isKnown ? this.told.size : this.strange;
    if (inAll >= MOST_IN_ALL[kind]) return this.isBeyond(note, ofAddress > 0 ? place : '');
    if (ofAddress >= MOST_OF_ADDRESS[kind]) return this.isBeyond(note, place);
    if (note.isKnown && note.farm !== undefined) {
      const ofFarm = this.ofFarm.get(note.farm) ?? 0;
      if (ofFarm >= MOST_OF_FARM) return this.isBeyond(note, '', note.farm);
      this.ofFarm.set(note.farm, ofFarm + 1);
    }
    this.ofAddress.set(place, ofAddress + 1);
    if (!note.isKnown) this.strange += 1;
    return true;
  }

  /**
   * `place` is '' when there is no room to count for this address, or it is counted for its farm. There are as many counts as entries at
   * most, and one of each kind.
   */
  private isBeyond({ kind, from }: RefusalNote, place: string, farm = ''): false {
    this.counters.beyond += 1;
    const key = JSON.stringify([kind, place, farm]);
    const known = this.beyond.get(key);
    if (known) known.count += 1;
    else this.beyond.set(key, { kind, from: place === '' ? '' : from, farm, count: 1 });
    return false;
  }

  private endMinute(): void {
    const wentOn = new Set<string>();
    for (const [key, { note, more, at }] of this.told) {
      if (more === 0) continue;
      wentOn.add(key);
      this.tell(note, at, more);
    }
    for (const { kind, from, farm, count } of this.beyond.values()) {
      const isOfMany = from === '' && farm === '';
      const what = isOfMany ? 'from many addresses' : 'with further names or reasons';
      this.tell({ kind, from, farm, why: MANY, what }, clock.now(), count);
    }
    this.goingOn = wentOn;
    this.told = new Map();
    this.ofAddress = new Map();
    this.ofFarm = new Map();
    this.beyond = new Map();
    this.strange = 0;
  }

  private tell(note: RefusalNote, at: number, count: number): void {
    const { kind, from, why, who = '', farm = '', sensor = '', what = '' } = note;
    const entry: Noted = { kind, id: randomUUID(), at, who, from, farm, sensor, why, what, count };
    this.counters.told += 1;
    this.writer.write(entry);
    // What is foreign comes after the address and the reason: a filter that reads this line from its start cannot be led astray.
    const about = { event: kind, from, why, count, who, farm, sensor, what };
    this.logger.info(about, SENTENCES[kind]);
  }
}

/** What is foreign is shortened before it is kept, or made a key of. */
function bounded(note: RefusalNote): RefusalNote {
  const { from, why, who = '', what = '' } = note;
  return {
    ...note,
    from: usualAddress(from) ?? '',
    why: cut(why, MOST_NAME),
    who: cut(who, MOST_NAME),
    what: cut(what, MOST_NOTED),
  };
}
