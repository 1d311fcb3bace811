import { type AccountNote, BEAT_MS, type HeldNote, type KeptNote, type RunState } from './notes.ts';
import { type NumberRange, NumberRanges } from './number-ranges.ts';
import { type AccountedQueue, type LostRange, RunAccount } from './run-account.ts';

export interface BatchAccountOptions {
  /** How often entrances and workers say where they stand, ms. All other times follow from it. */
  readonly beatMs?: number;
  /**
   * How long a message may be with a worker that says nothing any more, ms: the consumer time-out of the queue. 0 where a silent
   * worker has ended, because it is in the follower's own process.
   */
  readonly mostHeldMs?: number;
}

/** Batches that were confirmed and are in nobody's hands, or that came after they were called lost. */
export interface AccountFinding {
  readonly is: 'lost' | 'found';
  readonly run: string;
  readonly entrance: string;
  readonly batches: number;
  readonly ranges: readonly NumberRange[];
}

const DAY_MS = 86_400_000;
/** A suspect batch is lost after so many beats: two minutes after the queue moves, with the two beats that say what was given up, and what is confirmed. */
const LOST_BEATS = 6;
/** After so many missing beats a worker, or a run, is silent. */
const SILENT_BEATS = 3;
/** A number that nobody has heard of before, so many beats after another one became suspect: the queue has come past that. */
const PASSED_BEATS = 1.5;
/** So many beats after that, whoever has what was given out before has said so, or is silent. */
const SAID_BEATS = SILENT_BEATS + 0.2;
/** So much of a beat passes between two looks at everything: many may have their beats at once. */
const JUDGE_BEATS = 1 / 20;
/** A complete run is forgotten after so many beats of silence, and an incomplete one after a day. */
const FORGOTTEN_BEATS = 240;
const MOST_RUNS = 1_000;
const MOST_WORKERS = 1_000;

interface HoldingWorker {
  readonly name: string;
  heard: number;
  /** What it has said to hold, without what was worked off after that, or is with others. */
  readonly held: Map<string, NumberRanges>;
  /** Others have some of what it has held. When they have everything, the queue has given what it held to them. */
  isTakenOver: boolean;
}

/**
 * The account of all batches, kept from what entrances and workers say in the live log. Every batch that the queue has confirmed must
 * be worked off, or be in somebody's hands, or wait in the queue. Which of them wait nobody says; but the queue gives them out in order. So a batch is
 * *suspect* when it is confirmed, nobody has said that it was worked off, nobody holds it, and the queue has given out a later one. When that stays so
 * for two minutes, the queue has given out others meanwhile, and then everybody has had the time to say what it holds, the batch is *lost*.
 *
 * Notes may come in any order, and again. Time passes only with notes: while nothing is heard, because the log is away or is
 * being read back, nobody becomes silent and nothing is lost.
 *
 * While a worker is silent, and may still have messages, nothing is lost, and what is suspect grows no older. That ends when it is heard
 * again, when others have all batches of its, or with the consumer time-out. A worker is silent that does not say what it holds, whatever else it says.
 */
export class BatchAccount {
  /** Of this follower's time: batches lost, and found after that; and runs and workers of which there were too many. */
  readonly counts = { lost: 0, found: 0, unknown: 0, forgotten: 0 };
  private readonly beatMs: number;
  private readonly mostHeldMs: number;
  private readonly runs = new Map<string, RunAccount>();
  private readonly workers = new Map<string, HoldingWorker>();
  /** When each queue gave out a batch that nobody had before. */
  private readonly moved: Record<AccountedQueue, number> = {
    queue: Number.NEGATIVE_INFINITY,
    slow: Number.NEGATIVE_INFINITY,
    undated: Number.NEGATIVE_INFINITY,
  };
  private time = 0;
  private judgeAt = 0;
  private notes = 0;
  private lastAt: number | undefined;
  private silent: readonly string[] = [];
  /** When a worker was gone, and may have given back what it held: from then on the queue has to move again. */
  private goneAt = Number.NEGATIVE_INFINITY;

  constructor({ beatMs = BEAT_MS, mostHeldMs = DAY_MS }: BatchAccountOptions = {}) {
    this.beatMs = beatMs;
    this.mostHeldMs = mostHeldMs;
  }

  /** Batches that are suspect now. */
  get suspected(): number {
    return [...this.runs.values()].reduce((sum, run) => sum + run.suspected, 0);
  }

  /** What was lost within a day, by run. */
  get lost(): { readonly run: string; readonly entrance: string; readonly ranges: readonly LostRange[] }[] {
    return [...this.runs.values()]
      .filter(({ lost }) => lost.length > 0)
      .map(({ run, entrance, lost: ranges }) => ({ run, entrance, ranges }));
  }

  /** Workers that are silent and may hold what is suspect. */
  get silentWorkers(): readonly string[] {
    return this.silent;
  }

  /** Takes the notes of one entry of the log. `at`: when they are heard, monotonic ms. Returns what follows from them. */
  hear(notes: readonly AccountNote[], at: number): AccountFinding[] {
    this.time += Math.min(Math.max(0, at - (this.lastAt ?? at)), this.beatMs * 1.5);
    this.lastAt = at;
    const findings: AccountFinding[] = [];
    for (const note of notes) {
      this.notes += 1;
      if (note.is === 'done') findings.push(...this.hearDone(note));
      else if (note.is === 'held') this.hearHeld(note);
      else if (note.is === 'beat') this.runOf(note.run).heardBeat(note, this.notes);
    }
    if (this.time >= this.judgeAt && notes.some(({ is }) => is === 'held' || is === 'beat')) {
      this.judgeAt = this.time + this.beatMs * JUDGE_BEATS;
      findings.push(...this.judge());
    }
    return findings;
  }

  /** Entries of the log are missing: what is open is unknown from now on. */
  missed(): void {
    for (const run of this.runs.values()) {
      run.missed();
      this.counts.unknown += run.unknown;
      run.unknown = 0;
    }
  }

  /** What another follower needs to go on: at most a few hundred kB. */
  state(): Pick<KeptNote, 'runs' | 'workers'> {
    const runs: RunState[] = [...this.runs.values()].slice(-MOST_STATES).map((run) => run.state(this.time));
    const workers = [...this.workers.values()].slice(-MOST_STATES).map(({ name: worker, held, heard }) => ({
      worker,
      held: [...held].map(([run, numbers]) => ({ run, numbers: [...numbers.list()] })),
      silentMs: this.time - heard,
    }));
    return { runs, workers };
  }

  /** Begins with what another follower has made of everything before. */
  restore({ runs, workers }: Pick<KeptNote, 'runs' | 'workers'>): void {
    for (const state of runs) {
      this.runOf(state.run).restore(state, this.time);
      this.notes = Math.max(this.notes, state.begunAs, state.beatAs);
    }
    for (const { worker, held, silentMs } of workers) this.workerOf(worker, held).heard = this.time - silentMs;
  }

  private hearDone({ worker, run: id, done, confirmed }: AccountNote & { is: 'done' }): AccountFinding[] {
    const run = this.runOf(id);
    this.takeOver(worker, id, done);
    this.took(run, done);
    const batches = run.heardDone({ done, confirmed });
    if (batches === 0) return [];
    this.counts.found += batches;
    return [{ is: 'found', run: id, entrance: run.entrance, batches, ranges: done }];
  }

  private hearHeld({ worker, held, left }: HeldNote): void {
    for (const { run, numbers } of held) {
      this.took(this.runOf(run), numbers);
      this.takeOver(worker, run, numbers);
    }
    if (left) this.gone(worker);
    else this.workerOf(worker, held);
  }

  private took(run: RunAccount, numbers: readonly NumberRange[]): void {
    const highest = numbers.reduce((most, { to }) => Math.max(most, to), 0);
    if (highest <= run.taken) return;
    run.taken = highest;
    // Of which queue it is, its entrance tells.
    if (run.entrance === '') return;
    this.moved[run.queue] = this.time;
  }

  /** One worker has these. A message may be there twice: so others may have single ones of theirs all the same. */
  private takeOver(name: string, run: string, numbers: readonly NumberRange[]): void {
    for (const worker of this.workers.values()) {
      const held = worker.held.get(run);
      if (!held) continue;
      const had = numbers.reduce((sum, { from, to }) => sum + held.remove(from, to), 0);
      if (had > 0 && worker.name !== name) worker.isTakenOver = true;
      if (held.size === 0) worker.held.delete(run);
    }
  }

  private judge(): AccountFinding[] {
    this.forgetSilent();
    const findings: AccountFinding[] = [];
    for (const run of this.runs.values()) {
      const moved = this.moved[run.queue];
      run.suspect({
        now: this.time,
        held: this.heldOf(run.run),
        isPassed: this.isPassed(run),
        isAnybodySilent: this.silent.length > 0,
        movedPast: moved - PASSED_BEATS * this.beatMs,
        goneAt: this.goneAt,
      });
      run.forgetLost(this.time - DAY_MS);
      const ranges = run.lose(this.time - LOST_BEATS * this.beatMs, this.time - SAID_BEATS * this.beatMs, this.time);
      this.counts.unknown += run.unknown;
      run.unknown = 0;
      if (ranges.length === 0) continue;
      const batches = ranges.reduce((sum, { from, to }) => sum + to - from + 1, 0);
      this.counts.lost += batches;
      findings.push({ is: 'lost', run: run.run, entrance: run.entrance, batches, ranges });
    }
    return findings;
  }

  private forgetSilent(): void {
    const silent: string[] = [];
    for (const worker of this.workers.values()) {
      const ms = this.time - worker.heard;
      if (ms <= SILENT_BEATS * this.beatMs) continue;
      if ((worker.isTakenOver && worker.held.size === 0) || ms > this.mostHeldMs) this.gone(worker.name);
      else silent.push(worker.name);
    }
    this.silent = silent;
    for (const run of this.runs.values()) {
      const ms = this.time - run.heard;
      const isOver = ms > DAY_MS || (run.isComplete && ms > FORGOTTEN_BEATS * this.beatMs);
      if (isOver && (run.lost.length === 0 || ms > DAY_MS)) this.runs.delete(run.run);
    }
  }

  private gone(worker: string): void {
    this.workers.delete(worker);
    this.goneAt = this.time;
  }

  /** The entrance was heard last before another run began of which batches were worked off: what it had confirmed then came before them. */
  private isPassed(run: RunAccount): boolean {
    for (const other of this.runs.values()) {
      const isLater = other.begunAs > run.beatAs;
      if (isLater && other.isWorkedOn && other.queue === run.queue) return true;
    }
    return false;
  }

  private *heldOf(run: string): Iterable<NumberRange> {
    for (const { held } of this.workers.values()) yield* held.get(run)?.list() ?? [];
  }

  /** The account of a run, which is heard of now. */
  private runOf(id: string): RunAccount {
    const run = this.runs.get(id) ?? new RunAccount(id);
    // A map keeps the order in which its members came: whoever was not heard of for longest is first.
    this.runs.delete(id);
    this.runs.set(id, run);
    run.heard = this.time;
    this.dropFirst(this.runs, MOST_RUNS);
    return run;
  }

  private workerOf(name: string, held: HeldNote['held']): HoldingWorker {
    const numbers = new Map(held.map((of) => [of.run, new NumberRanges(of.numbers)]));
    const worker = { name, heard: this.time, held: numbers, isTakenOver: false };
    this.workers.delete(name);
    this.workers.set(name, worker);
    this.dropFirst(this.workers, MOST_WORKERS);
    return worker;
  }

  private dropFirst(map: Map<string, unknown>, most: number): void {
    const [first] = map.keys();
    if (map.size <= most || first === undefined) return;
    map.delete(first);
    this.counts.forgotten += 1;
  }
}

/** Of runs and of workers, those that were heard of last. */
const MOST_STATES = 200;
