import { clock } from '../../../core/clock.ts';
import type { GapReason, LiveCounters } from '../counters.ts';
import { frames } from '../sockets/protocol.ts';
import type { Need, Subscription, Viewer } from '../sockets/viewer.ts';
import type { LiveFarm, StatusOfSensor } from '../state/farm.ts';
import { ROW_MS } from '../state/fold.ts';
import type { CatchUp } from './catch-up.ts';
import { type CatchUpFrames, catchUpOf, framesFor } from './catch-up-frames.ts';

/** A subscription that missed more rows than this is told of a gap: a chart fetches its range faster. */
export const MAX_ROWS = 20_000;
/** Most bytes and time of one round of serving, so that live viewers are not delayed. The next round gives the rest. */
const ROUND_BYTES = 8 * 2 ** 20;
const ROUND_MS = 25;
/** How long a viewer waits for a gateway that is behind what the viewer has seen elsewhere, or cannot read what it missed. */
const MAX_WAIT_MS = 8_000;
/** A status may have been told a moment after it was true, and clocks of machines differ. */
const STATUS_MARGIN_MS = 5_000;

/** Where the hub stands at the end of a tick: everything up to `seq` has been published. */
export interface Moment {
  readonly epoch: string;
  readonly seq: number;
  /** Unix ms. */
  readonly now: number;
  /** ms by a monotonic clock. */
  readonly passed: number;
  readonly farm: (id: string) => LiveFarm | undefined;
}

export interface ResumeQueueOptions {
  readonly catchUp: CatchUp;
  readonly counters: LiveCounters;
  /** Called when a subscription may be served now that could not be served before. */
  readonly changed: () => void;
}

const NOTHING = { texts: [], rows: 0 };

type Entries = Extract<Need, { for: 'entries' }>;

/**
 * Subscriptions that do not get what is published yet, or not now: new ones, those that come back, and those of sockets
 * that read slowly.
 *
 * A round of serving is one synchronous step at the end of a tick, when everything up to `seq` has been published. In
 * it a subscription gets a snapshot, or the entries that it missed up to `seq`, and joins what is published. So it
 * misses nothing in between and gets nothing twice. A subscription of a slow socket gets what came since its last
 * round, and stays here.
 */
export class ResumeQueue {
  private readonly options: ResumeQueueOptions;
  private readonly waiting = new Set<Subscription>();
  private readonly reading = new Set<Subscription>();
  /** Subscriptions that came back before the farm was loaded: statuses since this time (Unix ms) are still to be sent. */
  private readonly owed = new Map<Subscription, number>();

  constructor(options: ResumeQueueOptions) {
    this.options = options;
  }

  get size(): number {
    return this.waiting.size + this.owed.size;
  }

  add(subscription: Subscription): void {
    this.waiting.add(subscription);
  }

  remove(subscription: Subscription): void {
    this.waiting.delete(subscription);
    this.owed.delete(subscription);
  }

  clear(): void {
    this.waiting.clear();
    this.owed.clear();
  }

  /** Whether a subscription may be served now; those of a slow viewer wait until that viewer is due. */
  hasDue({ passed }: Moment): boolean {
    if (this.owed.size > 0) return true;
    for (const { viewer } of this.waiting) {
      if (!viewer.slow || viewer.slow.isDue(viewer.wire.buffered(), passed)) return true;
    }
    return false;
  }

  /** Serves the subscriptions that can be served now. True when the round ended before all were served. */
  serve(moment: Moment): boolean {
    const round = new Round(moment);
    for (const [subscription, since] of this.owed) this.payStatuses(subscription, since, round);
    for (const subscription of this.waiting) {
      const farm = moment.farm(subscription.farm);
      if (!farm || !round.admits(subscription.viewer)) continue;
      if (round.isOver) return true;
      const { need } = subscription;
      if (need.for === 'entries') this.giveEntries(subscription, need, farm, round);
      else if (need.for === 'snapshot') this.giveSnapshot(subscription, need.gap, farm, round);
      else this.waiting.delete(subscription);
    }
    return false;
  }

  private giveSnapshot(subscription: Subscription, gap: boolean, farm: LiveFarm, round: Round): void {
    if (!farm.isLoaded) return;
    const { viewer, id } = subscription;
    this.tellPace(viewer, round);
    if (gap) viewer.wire.send(frames.gap(id));
    const text = frames.snapshot(id, round.moment.epoch, round.moment.seq, round.snapshotOf(farm, subscription.fields));
    round.give(viewer, text);
    this.options.counters.frames.snapshot++;
    this.goOn(subscription, farm, round);
  }

  private giveEntries(subscription: Subscription, need: Entries, farm: LiveFarm, round: Round): void {
    const obstacle = this.obstacle(subscription, need, farm, round.moment);
    if (obstacle === 'wait') return;
    const { viewer, fields } = subscription;
    const { texts, rows } = obstacle ? NOTHING : framesFor(round.catchUp(farm, need.after, viewer), fields);
    if (obstacle || rows > MAX_ROWS) {
      this.gap(subscription, farm, obstacle ?? 'too-much');
      return;
    }
    this.tellPace(viewer, round);
    for (const text of texts) round.give(viewer, text);
    round.give(viewer, frames.tick(farm.id, round.moment.seq, round.moment.now));
    if (!viewer.slow) this.options.counters.resumes.memory++;
    const since = farm.window.timeOf(need.after) - STATUS_MARGIN_MS;
    if (farm.isLoaded) this.giveStatuses(subscription, since, farm, round);
    else this.owed.set(subscription, since);
    this.goOn(subscription, farm, round);
  }

  /** Why the entries cannot be given: `wait` for now, or a gap's reason for good. Starts to read back what is only in the log. */
  private obstacle(
    subscription: Subscription,
    need: Entries,
    farm: LiveFarm,
    { epoch, seq, passed }: Moment,
  ): 'wait' | GapReason | undefined {
    if (need.epoch !== epoch) return 'epoch';
    const { slow } = subscription.viewer;
    const isTimedOut = passed - need.asked > MAX_WAIT_MS && !slow;
    if (need.after > seq) return isTimedOut ? 'ahead' : 'wait';
    if (need.after + 1 >= farm.window.from) return undefined;
    if (slow) return 'too-much';
    if (isTimedOut) return 'unavailable';
    this.readBack(subscription, need, farm);
    return 'wait';
  }

  /** The subscription has got what it needs. It goes live, or, when its socket is slow, waits for that socket's next round. */
  private goOn(subscription: Subscription, farm: LiveFarm, round: Round): void {
    const { epoch, seq, passed } = round.moment;
    if (subscription.viewer.slow) {
      farm.setNeed(subscription, { for: 'entries', epoch, after: seq, asked: passed });
      return;
    }
    this.waiting.delete(subscription);
    farm.goLive(subscription);
  }

  private gap(subscription: Subscription, farm: LiveFarm, reason: GapReason): void {
    this.options.counters.gaps[reason]++;
    farm.setNeed(subscription, { for: 'snapshot', gap: true });
    this.options.changed();
  }

  private readBack(subscription: Subscription, need: Entries, farm: LiveFarm): void {
    if (this.reading.has(subscription)) return;
    this.reading.add(subscription);
    const { catchUp, changed, counters } = this.options;
    void catchUp.reach(farm.id, farm.window, need.after + 1, need.epoch).then((outcome) => {
      this.reading.delete(subscription);
      if (subscription.need !== need) return;
      if (outcome === 'reached') counters.resumes.log++;
      // When the log cannot be reached, reading is tried again until PATIENCE_MS is over.
      else if (outcome !== 'unavailable') this.gap(subscription, farm, outcome);
      changed();
    });
  }

  private payStatuses(subscription: Subscription, since: number, round: Round): void {
    const farm = round.moment.farm(subscription.farm);
    if (!farm?.isLoaded) return;
    this.owed.delete(subscription);
    this.giveStatuses(subscription, since, farm, round);
  }

  private giveStatuses({ viewer, fields }: Subscription, since: number, farm: LiveFarm, round: Round): void {
    for (const text of round.statuses(farm, since, fields)) round.give(viewer, text);
  }

  private tellPace(viewer: Viewer, round: Round): void {
    if (!viewer.slow || round.isAdmitted(viewer)) return;
    round.admit(viewer);
    const { slow } = viewer;
    const pace = slow.served(round.moment.passed);
    if (pace === 'same') return;
    if (pace === 'fast') {
      viewer.slow = undefined;
      this.options.counters.slow.recovered++;
    }
    viewer.wire.send(frames.degraded(pace === 'fast' ? 0 : slow.tickMs));
  }
}

/** One round of serving: the texts made so far, each once for all subscriptions that need it, and the bytes given. */
class Round {
  readonly moment: Moment;
  private readonly end = clock.passed() + ROUND_MS;
  private bytes = 0;
  private readonly sensors = new Map<string, ReadonlyMap<string, readonly string[]>>();
  private readonly snapshots = new Map<string, string>();
  private readonly catchUps = new Map<string, CatchUpFrames>();
  private readonly statusTexts = new Map<string, readonly { readonly field: string; readonly text: string }[]>();
  /** Slow viewers that this round serves, with the width of their rows, ms. All subscriptions of such a viewer are served together. */
  private readonly admitted = new Map<Viewer, number>();

  constructor(moment: Moment) {
    this.moment = moment;
  }

  get isOver(): boolean {
    return this.bytes > ROUND_BYTES || clock.passed() > this.end;
  }

  admits(viewer: Viewer): boolean {
    if (!viewer.slow || this.admitted.has(viewer)) return true;
    return viewer.slow.isDue(viewer.wire.buffered(), this.moment.passed);
  }

  isAdmitted(viewer: Viewer): boolean {
    return this.admitted.has(viewer);
  }

  admit(viewer: Viewer): void {
    this.admitted.set(viewer, this.rowMs(viewer));
  }

  give(viewer: Viewer, text: string): void {
    this.bytes += text.length;
    viewer.give(text);
  }

  /** The `sensors` of a snapshot. Each sensor is made into text once, whatever fields are asked for together. */
  snapshotOf(farm: LiveFarm, fields: ReadonlySet<string> | undefined): string {
    return once(this.snapshots, `${farm.id} ${scope(fields)}`, () => {
      const byField = once(this.sensors, farm.id, () => farm.snapshots(this.moment.now));
      const wanted = [...(fields ?? byField.keys())].flatMap((field) => byField.get(field) ?? []);
      return `[${wanted.join(',')}]`;
    });
  }

  catchUp(farm: LiveFarm, after: number, viewer: Viewer): CatchUpFrames {
    const rowMs = this.rowMs(viewer);
    return once(this.catchUps, `${farm.id} ${after} ${rowMs}`, () => catchUpOf(farm, after, rowMs));
  }

  statuses(farm: LiveFarm, since: number, fields: ReadonlySet<string> | undefined): readonly string[] {
    const make = ({ sensor, ...status }: StatusOfSensor) => ({
      field: farm.fieldOf(sensor),
      text: frames.status(farm.id, sensor, status),
    });
    const all = once(this.statusTexts, `${farm.id} ${since}`, () =>
      farm.statusesSince(since, this.moment.now).map(make),
    );
    return all.filter(({ field }) => fields === undefined || fields.has(field)).map(({ text }) => text);
  }

  private rowMs(viewer: Viewer): number {
    return this.admitted.get(viewer) ?? viewer.slow?.rowMs(this.moment.passed) ?? ROW_MS;
  }
}

function scope(fields: ReadonlySet<string> | undefined): string {
  return fields === undefined ? '*' : [...fields].sort().join(' ');
}

function once<T>(made: Map<string, T>, key: string, make: () => T): T {
  const known = made.get(key);
  if (known !== undefined) return known;
  const fresh = make();
  made.set(key, fresh);
  return fresh;
}
