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
 * What a subscription waits for, before it may get what is published:
 * a snapshot, with or without the notice of a gap, or the entries of the log after one that it has.
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

/** Names of topics, one text each however many sockets join: the last so many. */
const names = new Map<string, string>();
const MOST_NAMES = 50_000;

function named(name: string): string {
  const known = names.get(name);
  if (known !== undefined) return known;
  if (names.size >= MOST_NAMES) names.clear();
  names.set(name, name);
  return name;
}

/** Where frames are published. A farm's name is in every one of them, and only viewers of that farm join. */
export const topics = {
  farm: (farm: string) => named(`farm/${farm}`),
  field: (farm: string, field: string) => named(`field/${farm}/${field}`),
  /** For those who watch more than one field, or the farm: what comes between rows. */
  wide: (farm: string) => named(`wide/${farm}`),
  /** For those who watch this field and no other: it is published at a time of its own. */
  only: (farm: string, field: string) => named(`only/${farm}/${field}`),
} as const;

/** A connected client and what it watches. */
export class Viewer {
  readonly wire: Wire;
  readonly subscriptions = new Map<number, Subscription>();
  /** Set while it reads too slowly to get everything. */
  slow: Slowness | undefined;
  /** How many times it was found to be slow. */
  relapses = 0;
  /** Bytes of snapshots and missed entries that may wait without being counted as slowness. */
  allowance = 0;
  /** Whether too much waited for it when it was last looked at. */
  suspect = false;
  private joined: readonly string[] = [];
  /** Farms of which it watches more than one field, or has since it last watched nothing of them: so it changes over at the end of a tick only. */
  private readonly wide = new Set<string>();

  constructor(wire: Wire) {
    this.wire = wire;
  }

  /** Whether it gets what all of a farm gets at the end of a tick, and not one field at a time of its own. */
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

  /** Sends what was asked for, however long it is: that is no sign of slowness. */
  give(text: string): void {
    this.allowance += text.length;
    this.wire.send(text);
  }

  /**
   * Joins and leaves topics until they are those of the live subscriptions, each frame coming once however many of them cover it:
   * who watches a whole farm is not also in the topics of its fields.
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
