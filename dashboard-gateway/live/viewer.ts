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
  /** For everybody who watches something of the farm. */
  all: (farm: string) => named(`all/${farm}`),
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

  constructor(wire: Wire) {
    this.wire = wire;
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
    const live = [...this.subscriptions.values()].filter((s) => s.need.for === 'nothing');
    const whole = new Set(live.filter((s) => s.fields === undefined).map((s) => s.farm));
    const wanted = new Set<string>();
    for (const { farm, fields } of live) {
      wanted.add(topics.all(farm));
      if (whole.has(farm)) wanted.add(topics.farm(farm));
      else for (const field of fields ?? []) wanted.add(topics.field(farm, field));
    }
    return wanted;
  }
}
