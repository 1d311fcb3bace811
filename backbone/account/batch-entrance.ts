import { pause, withDeadline } from '../../core/timing.ts';
import type { BatchPlace } from '../../telemetry/account/batch-place.ts';
import { BatchRun } from '../../telemetry/account/batch-run.ts';
import { BEAT_MS, type BeatNote } from '../../telemetry/account/notes.ts';
import { accountEntry } from '../../telemetry/batch.ts';
import type { Log } from '../ports/log.ts';

/** Where batches come into the queue; 'worker' into the slow queue, 'undated' into the one of what a doubted clock dates, 'dated' from that one. */
export type EntranceName = 'broker' | 'source' | 'import' | 'replay' | 'worker' | 'undated' | 'dated';

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
const FIRST_BEAT_MS = 1_000;
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
  /** The most that waited in the spool when the queue confirmed something, since the last beat that was said. */
  private mostSpooled = 0;

  constructor(options: BatchEntranceOptions) {
    this.options = options;
  }

  /** The run by which batches are numbered now. */
  get current(): BatchRun {
    if (this.run.isFull) this.renew(this.isDoubted);
    return this.run;
  }

  /** Begins another run, because the clock is not the one it was. `doubted`: nobody believes it. Its id. */
  renew(doubted: boolean): string {
    if (!this.run.isUnused) this.addFormer(this.run);
    this.isDoubted = doubted;
    this.run = new BatchRun(doubted);
    return this.run.id;
  }

  /**
   * Numbers an attempt to publish a batch, and gives what `send` gives, which is called at once and has to publish at once: numbers
   * are to stand in the queue in their order. Its rejection is passed on. Then the number is given up; another attempt is another call.
   * `run`: the one that was current when the batch was begun, where that tells by which clock it was received.
   */
  async send<T>(send: (place: BatchPlace) => Promise<T>, run = this.current): Promise<T> {
    // All of it may have been settled, and said so, before this batch was tried.
    if (run !== this.run && !this.former.includes(run)) this.addFormer(run);
    const number = run.next();
    try {
      const sent = await send(run.place(number));
      run.confirmed(number);
      this.mostSpooled = Math.max(this.mostSpooled, this.spooled());
      return sent;
    } catch (error) {
      // The queue has refused it, or whether it was kept is unknown.
      run.gaveUp(number);
      throw error;
    }
  }

  /**
   * Begins to say where it stands. Resolves when the log has that it begins, or after a second: what is sent after that comes after everything that
   * other entrances have said before. Never rejects.
   */
  async start(): Promise<void> {
    const first = this.beat(false);
    this.running ??= first.then(() => this.beats());
    await withDeadline(first, FIRST_BEAT_MS, 'the log does not take it').catch(() => {});
  }

  /** Says it for the last time. Never rejects; resolves after a second at most. Call it when everything is settled. */
  async stop(): Promise<void> {
    this.stopping.abort();
    // What cannot be said any more is known of no more: no follower counts it.
    await withDeadline(this.running ?? Promise.resolve(), LAST_BEAT_MS, 'the log does not take it').catch(() => {});
  }

  private async beats(): Promise<void> {
    const { beatMs = BEAT_MS } = this.options;
    for (;;) {
      await pause(beatMs, this.stopping.signal);
      if (this.stopping.signal.aborted) return await this.beat(true);
      await this.beat(false);
    }
  }

  /** Never rejects. */
  private async beat(ended: boolean): Promise<void> {
    const { live } = this.options;
    if (!live) return;
    for (const former of this.former) await this.lastBeatOf(former, live);
    const { run } = this;
    const spooled = Math.max(this.mostSpooled, this.spooled());
    this.mostSpooled = 0;
    const note = this.noteOf(run, ended, spooled);
    const says = JSON.stringify(note);
    if (says === this.lastSaid && this.leftOut < MOST_LEFT_OUT) {
      this.leftOut += 1;
      return;
    }
    try {
      await live.append(accountEntry([note]));
    } catch {
      // The log's state tells why. The next beat says it all again.
      this.mostSpooled = Math.max(this.mostSpooled, spooled);
      return;
    }
    run.said(note);
    this.lastSaid = says;
    this.leftOut = 0;
  }

  /** Of a run before the present one: says where it stands, for the last time when all of it is settled. Never rejects. */
  private async lastBeatOf(run: BatchRun, live: Log): Promise<void> {
    const note = this.noteOf(run, run.isSettled, this.spooled());
    try {
      await live.append(accountEntry([note]));
    } catch {
      return;
    }
    run.said(note);
    if (note.ended) this.former = this.former.filter((one) => one !== run);
  }

  private noteOf(run: BatchRun, ended: boolean, spooled: number): BeatNote {
    return { is: 'beat', entrance: this.options.name, ...run.beat(), spooled, ended };
  }

  private addFormer(run: BatchRun): void {
    this.former = [...this.former, run].slice(-MOST_FORMER);
  }

  private spooled(): number {
    return this.options.spooled?.() ?? 0;
  }
}
