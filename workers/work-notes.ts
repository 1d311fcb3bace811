import { randomBytes } from 'node:crypto';
import type { Log } from '../backbone/ports/log.ts';
import { pause, withDeadline } from '../core/timing.ts';
import { type BatchPlace, placeOf } from '../telemetry/account/batch-place.ts';
import { type AccountNote, BEAT_MS, type HeldNote } from '../telemetry/account/notes.ts';
import { NumberRanges } from '../telemetry/account/number-ranges.ts';
import { accountEntry, withAccount } from '../telemetry/batch.ts';

/** What was worked off is said at the latest after so long, ms, when no announcement goes out that could say it. */
const LINGER_MS = 25;
const FIRST_NOTE_MS = 1_000;
const LAST_NOTE_MS = 1_000;

/** Appends one entry to the live log, however long that takes. */
export type AppendLive = (entry: Uint8Array) => Promise<void>;

interface Untold {
  readonly place: BatchPlace;
  readonly resolve: () => void;
  readonly reject: (error: unknown) => void;
}

/**
 * What a worker says in the live log of the batches that it gets: which of them it has worked off, and every 15 s which of them
 * it has in hand.
 *
 * A message is acknowledged only when the log says that it was worked off. So whatever dies, no batch is gone from the queue of which
 * nobody says so. It costs no entry: the note stands in the next announcement of other readings. Only when none goes
 * out for a moment, there is an entry for it.
 */
export class WorkNotes {
  /** The name of the worker, of this run. */
  readonly worker = randomBytes(9).toString('base64url');
  private readonly live: Log;
  private readonly beatMs: number;
  private readonly prefetched: () => Iterable<Uint8Array>;
  private readonly stopping = new AbortController();
  private readonly inHand = new Set<BatchPlace>();
  /** Those that were given back since the last note of what is in hand, by run. */
  private gone = new Map<string, NumberRanges>();
  private untold: Untold[] = [];
  private timer: NodeJS.Timeout | undefined;
  private running: Promise<void> | undefined;

  /** `prefetched`: messages that have come and are not at work yet. */
  constructor(live: Log, prefetched: () => Iterable<Uint8Array>, beatMs = BEAT_MS) {
    this.live = live;
    this.prefetched = prefetched;
    this.beatMs = beatMs;
  }

  /**
   * Says that it is there, and from then on what it holds. Resolves when the log has that, or after a second: whoever follows it is to know of a
   * worker before that one has a message. Never rejects.
   */
  async start(): Promise<void> {
    const first = this.beat(false);
    this.running ??= first.then(() => this.beats());
    await withDeadline(first, FIRST_NOTE_MS, 'the log does not take it').catch(() => {});
  }

  /** Says that it holds nothing any more. Never rejects; resolves after a second at most. */
  async stop(): Promise<void> {
    this.stopping.abort();
    clearTimeout(this.timer);
    await withDeadline(this.running ?? Promise.resolve(), LAST_NOTE_MS, 'the log does not take it').catch(() => {});
  }

  /** A message has come. Its place, which is in hand from now on until `worked` or `gaveBack`; undefined when it says none. */
  begin(message: Uint8Array): BatchPlace | undefined {
    const place = placeOf(message);
    if (place) this.inHand.add(place);
    return place;
  }

  /** It goes back to the queue. */
  gaveBack(place: BatchPlace): void {
    if (this.inHand.delete(place)) add(this.gone, place);
  }

  /** It was worked off. Resolves when the log says so; rejects as `append` does. */
  async worked(place: BatchPlace, append: AppendLive): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.untold.push({ place, resolve, reject });
      // A rejection reaches all whose notes these are.
      this.timer ??= setTimeout(() => void this.announce(undefined, append).catch(() => {}), LINGER_MS);
    });
    this.inHand.delete(place);
  }

  /**
   * Appends an announcement, or nothing but what was worked off and not said yet; that is in the announcement, too. Rejects as `append` does.
   */
  async announce(entry: Uint8Array | undefined, append: AppendLive): Promise<void> {
    clearTimeout(this.timer);
    this.timer = undefined;
    const told = this.untold;
    this.untold = [];
    const notes = told.length === 0 ? [] : this.doneNotes(told);
    try {
      if (!entry) await append(accountEntry(notes));
      else await append(notes.length === 0 ? entry : withAccount(entry, notes));
    } catch (error) {
      for (const { reject } of told) reject(error);
      throw error;
    }
    for (const { resolve } of told) resolve();
  }

  private doneNotes(told: readonly Untold[]): AccountNote[] {
    const confirmed = new Map<string, number>();
    for (const { place } of told) {
      confirmed.set(place.run, Math.max(place.confirmed, confirmed.get(place.run) ?? 0));
    }
    const { worker } = this;
    return listed(byRun(told.map(({ place }) => place))).map(({ run, numbers: done }) => ({
      is: 'done',
      worker,
      run,
      done,
      confirmed: confirmed.get(run) ?? 0,
    }));
  }

  private async beats(): Promise<void> {
    for (;;) {
      await pause(this.beatMs, this.stopping.signal);
      if (this.stopping.signal.aborted) return await this.beat(true);
      await this.beat(false);
    }
  }

  /** Never rejects. */
  private async beat(left: boolean): Promise<void> {
    const { gone } = this;
    this.gone = new Map();
    const waiting = [...this.prefetched()].flatMap((message) => placeOf(message) ?? []);
    for (const place of [...this.inHand, ...waiting]) add(gone, place);
    const held = left ? [] : listed(gone);
    const note: HeldNote = { is: 'held', worker: this.worker, held, left };
    try {
      await this.live.append(accountEntry([note]));
    } catch {
      // The log's state tells why. The next note says it; a batch that is in it without need is only suspect later.
      for (const [run, numbers] of gone)
        for (const { from, to } of numbers.list()) rangesOf(this.gone, run).add(from, to);
    }
  }
}

function byRun(places: readonly BatchPlace[]): Map<string, NumberRanges> {
  const runs = new Map<string, NumberRanges>();
  for (const place of places) add(runs, place);
  return runs;
}

function add(runs: Map<string, NumberRanges>, { run, number }: BatchPlace): void {
  rangesOf(runs, run).add(number);
}

function rangesOf(runs: Map<string, NumberRanges>, run: string): NumberRanges {
  const numbers = runs.get(run) ?? new NumberRanges();
  runs.set(run, numbers);
  return numbers;
}

function listed(runs: ReadonlyMap<string, NumberRanges>): HeldNote['held'] {
  return [...runs].map(([run, numbers]) => ({ run, numbers: [...numbers.list()] }));
}
