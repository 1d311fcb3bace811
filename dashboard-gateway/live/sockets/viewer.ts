import type { Slowness } from './slowness.ts';

/** The socket side of a viewer, as the hub needs it. */
export interface Wire {
  send(text: string): void;
  /** What is published under `topic` reaches this socket from now on. */
  join(topic: string): void;
  leave(topic: string): void;
  /** Bytes that wait because the client reads too slowly. */
  buffered(): number;
}

/**
 * What a subscription waits for, before it may get what is published: a snapshot, with or without the notice of a gap,
 * or the entries of the log after offset `after`.
 */
export type Need =
  | { readonly for: 'nothing' }
  | { readonly for: 'snapshot'; readonly gap: boolean }
  | { readonly for: 'entries'; readonly epoch: string; readonly after: number; readonly asked: number };

export const LIVE: Need = { for: 'nothing' };

export interface Subscription {
  readonly id: number;
  readonly farm: string;
  /** Undefined: the whole farm. */
  readonly fields: ReadonlySet<string> | undefined;
  readonly viewer: Viewer;
  need: Need;
}

/** One shared text for each topic name, however many sockets join. Emptied when it holds MOST_NAMES. */
const names = new Map<string, string>();
const MOST_NAMES = 50_000;

function named(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  if (names.size >= MOST_NAMES) names.clear();
  names.set(name, name);
  return name;
}

/** The topics that frames are published under. Each has the farm's name in it, and only viewers of that farm join it. */
export const topics = {
  farm: (farm: string) => named(`farm/${farm}`),
  field: (farm: string, field: string) => named(`field/${farm}/${field}`),
  /** For viewers of more than one field, or of the whole farm: ticks without rows. */
  wide: (farm: string) => named(`wide/${farm}`),
  /** For viewers of only this field, which is published at its own time in a long tick. */
  only: (farm: string, field: string) => named(`only/${farm}/${field}`),
} as const;

/** A connected client and what it watches. */
export class Viewer {
  readonly wire: Wire;
  readonly subscriptions = new Map<number, Subscription>();
  /** Set while it reads too slowly to get everything. */
  slow: Slowness | undefined;
  /** How many times it was found to be slow. */
  timesSlow = 0;
  /** Bytes of snapshots and missed entries that may wait without being counted as slowness. */
  allowance = 0;
  /** Whether too many bytes waited for it at the last check. */
  suspect = false;
  private joined: readonly string[] = [];
  /**
   * Farms of which it watches more than one field, or did at some time since it last watched none. So it changes over
   * only at the end of a tick.
   */
  private readonly wide = new Set<string>();

  constructor(wire: Wire) {
    this.wire = wire;
  }

  /** Whether it gets the rows of all its fields at the end of each tick, and not those of one field at that field's own time. */
  isWide(farm: string): boolean {
    return this.wide.has(farm);
  }

  /** Whether it would watch more than one field with this subscription too. */
  wouldBeWide({ farm, fields }: Subscription): boolean {
    if (fields === undefined) return true;
    const all = new Set(fields);
    for (const live of this.live(farm)) for (const field of live.fields ?? []) all.add(field);
    return all.size > 1;
  }

  widen(farm: string): void {
    this.wide.add(farm);
  }

  narrow(farm: string): void {
    this.wide.delete(farm);
  }

  /** Its subscriptions that get what is published. */
  live(farm?: string): Subscription[] {
    const of = (s: Subscription) => farm === undefined || s.farm === farm;
    return [...this.subscriptions.values()].filter((s) => s.need.for === 'nothing' && of(s));
  }

  /** Sends a snapshot or missed entries. However long they are, they do not count as slowness. */
  give(text: string): void {
    this.allowance += text.length;
    this.wire.send(text);
  }

  /**
   * Joins and leaves topics until they are those of the live subscriptions. Each frame comes once, however many
   * subscriptions cover it: a viewer of a whole farm does not join the topics of its fields.
   */
  arrangeTopics(): void {
    const wanted = this.wantedTopics();
    for (const topic of this.joined) if (!wanted.has(topic)) this.wire.leave(topic);
    for (const topic of wanted) if (!this.joined.includes(topic)) this.wire.join(topic);
    this.joined = [...wanted];
  }

  private wantedTopics(): Set<string> {
    const live = this.live();
    const whole = new Set(live.filter((s) => s.fields === undefined).map((s) => s.farm));
    const wanted = new Set<string>();
    for (const { farm, fields } of live) {
      const isWide = this.wide.has(farm);
      if (isWide) wanted.add(topics.wide(farm));
      if (whole.has(farm)) wanted.add(topics.farm(farm));
      else for (const field of fields ?? []) wanted.add(topics[isWide ? 'field' : 'only'](farm, field));
    }
    return wanted;
  }
}
