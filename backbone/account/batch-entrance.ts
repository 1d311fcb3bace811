import { pause, withDeadline } from '../../core/timing.ts';
import type { BatchPlace } from '../../telemetry/account/batch-place.ts';
import { BatchRun } from '../../telemetry/account/batch-run.ts';
import { BEAT_MS, type BeatNote } from '../../telemetry/account/notes.ts';
import { NumberedBatch } from '../../telemetry/account/numbered-batch.ts';
import { accountEntry } from '../../telemetry/batch.ts';
import type { Log } from '../ports/log.ts';

/** Where batches come into the queue, or, by a worker, into the slow queue. */
export type EntranceName = 'broker' | 'source' | 'import' | 'replay' | 'worker';

export interface BatchEntranceOptions {
  readonly name: EntranceName;
  /** The live log, where the beats go. Without it the batches are numbered, and nobody is told. */
  readonly live?: Log | undefined;
  /** How many messages wait in a spool in front of the queue. */
  readonly spooled?: (() => number) | undefined;
  readonly beatMs?: number | undefined;
}

/** Beats that would say nothing new are left out, up to so many. */
const MOST_LEFT_OUT = 19;
const LAST_BEAT_MS = 1_000;
/** Most runs before the present one of which it is still said what the queue has confirmed. */
const MOST_FORMER = 8;

/**
 * Numbers the batches of one entrance, and says in the live log every 15 s up to which number the queue has confirmed them.
 *
 * The beat goes to the live log because that is where workers say what they have worked off: who follows it hears both in one
 * order, and needs nothing else. An entrance has no other part in the live log, and a beat that cannot be written is only said later.
 */
export class BatchEntrance {
  private readonly options: BatchEntranceOptions;
  private readonly stopping = new AbortController();
  private run = new BatchRun();
  private former: BatchRun[] = [];
  private isDoubted = false;
  private running: Promise<void> | undefined;
  private lastSaid = '';
  private leftOut = 0;

  constructor(options: BatchEntranceOptions) {
    this.options = options;
  }

  /** A number for a batch that is sent for the first time. */
  next(): NumberedBatch {
    if (this.run.isFull) this.renew(this.isDoubted);
    return new NumberedBatch(this.run);
  }

  /** The id of the run by which batches are numbered now. */
  get runId(): string {
    return this.run.id;
  }

  /** Whether a batch has its number of the present run. */
  isCurrent(batch: NumberedBatch): boolean {
    return batch.isOf(this.run);
  }

  /** Begins another run, because the clock is not the one it was. `doubted`: nobody believes it. Its id. */
  renew(doubted: boolean): string {
    if (!this.run.isUnused) this.former = [...this.former, this.run].slice(-MOST_FORMER);
    this.isDoubted = doubted;
    this.run = new BatchRun(doubted);
    return this.run.id;
  }

  /** Numbers a message that is sent once, and gives what `send` gives, which is called at once. Its rejection is passed on. */
  async send<T>(send: (place: BatchPlace) => Promise<T>): Promise<T> {
    const batch = this.next();
    try {
      const sent = await send(batch.place());
      batch.confirmed();
      return sent;
    } catch (error) {
      batch.gaveUp();
      throw error;
    }
  }

  /** Begins to say where it stands. */
  start(): void {
    this.running ??= this.beats();
  }

  /** Says it for the last time. Never rejects; resolves after a second at most. Call it when everything is settled. */
  async stop(): Promise<void> {
    this.stopping.abort();
    // What cannot be said any more is known of no more: no follower counts it.
    await withDeadline(this.running ?? Promise.resolve(), LAST_BEAT_MS, 'the log does not take it').catch(() => {});
  }

  private async beats(): Promise<void> {
    const { beatMs = BEAT_MS } = this.options;
    while (!this.stopping.signal.aborted) {
      await this.beat(false);
      await pause(beatMs, this.stopping.signal);
    }
    await this.beat(true);
  }

  /** Never rejects. */
  private async beat(ended: boolean): Promise<void> {
    const { live } = this.options;
    if (!live) return;
    for (const former of this.former) await this.lastBeatOf(former, live);
    const { run } = this;
    const note = this.noteOf(run, ended);
    const says = JSON.stringify(note);
    if (says === this.lastSaid && this.leftOut < MOST_LEFT_OUT) {
      this.leftOut += 1;
      return;
    }
    try {
      await live.append(accountEntry([note]));
    } catch {
      // The log's state tells why. The next beat says it all again.
      return;
    }
    run.said(note);
    this.lastSaid = says;
    this.leftOut = 0;
  }

  /** Of a run before the present one: says where it stands, for the last time when all of it is settled. Never rejects. */
  private async lastBeatOf(run: BatchRun, live: Log): Promise<void> {
    const note = this.noteOf(run, run.isSettled);
    try {
      await live.append(accountEntry([note]));
    } catch {
      return;
    }
    run.said(note);
    if (note.ended) this.former = this.former.filter((one) => one !== run);
  }

  private noteOf(run: BatchRun, ended: boolean): BeatNote {
    const { name: entrance, spooled = () => 0 } = this.options;
    return { is: 'beat', entrance, ...run.beat(), spooled: spooled(), ended };
  }
}
