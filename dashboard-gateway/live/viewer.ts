/** The socket side of a viewer, as the hub needs it. */
export interface Wire {
  send(text: string): void;
  /** What is published under `topic` reaches this socket from now on. */
  join(topic: string): void;
  leave(topic: string): void;
  /** Bytes that wait because the client reads too slowly. */
  buffered(): number;
}

export interface Subscription {
  readonly id: number;
  readonly farm: string;
  /** Undefined: the whole farm. */
  readonly fields: ReadonlySet<string> | undefined;
  readonly viewer: Viewer;
  /** Whether it has its snapshot, and so gets what is published. */
  live: boolean;
  /** Whether a gap is to be announced before its next snapshot. */
  gap: boolean;
}

/** Where frames are published. A farm's name is in every one of them, and only viewers of that farm join. */
export const topics = {
  farm: (farm: string) => `farm/${farm}`,
  field: (farm: string, field: string) => `field/${farm}/${field}`,
  tick: (farm: string) => `tick/${farm}`,
} as const;

/** A connected client and what it watches. */
export class Viewer {
  readonly wire: Wire;
  readonly subscriptions = new Map<number, Subscription>();
  /** It reads too slowly: it gets nothing until what waits has gone, then snapshots. */
  behind = false;
  /** Bytes of snapshots that may wait without being counted as slowness. */
  allowance = 0;
  private joined = new Set<string>();

  constructor(wire: Wire) {
    this.wire = wire;
  }

  /**
   * Joins and leaves topics until they are those of the live subscriptions, each frame coming once however many of them cover it:
   * who watches a whole farm is not also in the topics of its fields.
   */
  arrangeTopics(): void {
    const wanted = this.behind ? new Set<string>() : this.wantedTopics();
    for (const topic of this.joined) if (!wanted.has(topic)) this.wire.leave(topic);
    for (const topic of wanted) if (!this.joined.has(topic)) this.wire.join(topic);
    this.joined = wanted;
  }

  private wantedTopics(): Set<string> {
    const live = [...this.subscriptions.values()].filter((s) => s.live);
    const whole = new Set(live.filter((s) => s.fields === undefined).map((s) => s.farm));
    const wanted = new Set<string>();
    for (const { farm, fields } of live) {
      wanted.add(topics.tick(farm));
      if (whole.has(farm)) wanted.add(topics.farm(farm));
      else for (const field of fields ?? []) wanted.add(topics.field(farm, field));
    }
    return wanted;
  }
}
