import { type AccountFinding, BatchAccount } from '../../telemetry/account/batch-account.ts';
import { type BatchPlace, placeId } from '../../telemetry/account/batch-place.ts';
import { BatchRun } from '../../telemetry/account/batch-run.ts';
import type { AccountNote, RunState } from '../../telemetry/account/notes.ts';
import { NumberRanges } from '../../telemetry/account/number-ranges.ts';
import type { Draw } from '../fuzz/draw.ts';

const SECOND = 1_000;
const BEAT = 15;
const PREFETCH = 8;

interface SimEntrance {
  run: BatchRun;
  readonly beatAt: number;
  spool: BatchPlace[];
  /** Whether something was spooled since the last beat. */
  hasSpooled: boolean;
  queueBackAt: number;
}

interface SimWorker {
  name: string;
  readonly beatAt: number;
  hand: BatchPlace[];
  gone: BatchPlace[];
  /** It does nothing, and says nothing, until then. */
  stoppedUntil: number;
  /** When it is stopped, the queue gives its messages to others after so many seconds. */
  patience: number;
  /** It has said that it is there: before that it takes nothing. */
  isKnown: boolean;
}

/** What may happen in a world, each as a chance a second. */
export interface Hazards {
  /** A worker dies, or is stopped. */
  readonly workers?: number;
  /** A worker is halted for up to ten minutes; the queue is a server that learns of it late. */
  readonly halts?: number;
  /** Nobody works for up to ten minutes. */
  readonly idle?: number;
  /** A message fails and rests for up to half a minute, before it is given out again. */
  readonly failures?: number;
  /** An entrance cannot reach the queue for up to two minutes, and keeps its messages in a spool. */
  readonly spool?: number;
  /** An entrance dies, or is stopped. */
  readonly entrances?: number;
  /** Nothing can be stored for up to three minutes. */
  readonly store?: number;
  /** The log takes nothing for up to three minutes. */
  readonly log?: number;
  /** The follower is replaced. */
  readonly follower?: number;
  /** A publish is refused, doubled, or its fate is unknown. */
  readonly publishes?: number;
}

/** Entrances, a queue, workers and a log in which every second is a step; what they say is heard by an account. */
export class AccountWorld {
  readonly findings: AccountFinding[] = [];
  /** Confirmed batches that were taken out of the queue and were nowhere else, by their ids. */
  readonly stolen = new Set<string>();
  account: BatchAccount;
  queue: BatchPlace[] = [];
  now = 0;
  private readonly confirmed = new Set<string>();
  private readonly worked = new Set<string>();
  private readonly draw: Draw;
  private hazards: Hazards;
  private readonly entrances: SimEntrance[];
  private readonly workers: SimWorker[];
  private readonly log: AccountNote[][] = [];
  private kept: { readonly next: number; readonly state: ReturnType<BatchAccount['state']> } | undefined;
  private storeBackAt = 0;
  private logBackAt = 0;
  private idleUntil = 0;
  private resting: { readonly place: BatchPlace; readonly until: number }[] = [];
  private names = 0;

  constructor(draw: Draw, hazards: Hazards) {
    this.draw = draw;
    this.hazards = hazards;
    this.entrances = Array.from({ length: draw.whole(1, 3) }, () => ({
      run: new BatchRun(),
      beatAt: draw.whole(0, BEAT - 1),
      spool: [],
      hasSpooled: false,
      queueBackAt: 0,
    }));
    this.account = this.newAccount();
    this.workers = Array.from({ length: draw.whole(1, 3) }, () => this.newWorker());
    for (const entrance of this.entrances) this.beat(entrance);
  }

  get lost(): string[] {
    const lost = this.findings.filter(({ is }) => is === 'lost');
    return lost.flatMap(({ run, ranges }) =>
      ranges.flatMap((range) => each(range).map((number) => `${run}:${number}`)),
    );
  }

  get states(): readonly RunState[] {
    return this.account.state().runs;
  }

  step(): void {
    this.now += 1;
    const { hazards, draw } = this;
    if (draw.chance(hazards.store ?? 0)) this.storeBackAt = this.now + draw.whole(1, 180);
    if (draw.chance(hazards.log ?? 0)) this.logBackAt = this.now + draw.whole(1, 180);
    if (draw.chance(hazards.idle ?? 0)) this.idleUntil = this.now + draw.whole(1, 600);
    for (const { place } of this.resting.filter(({ until }) => until <= this.now)) this.queue.unshift(place);
    this.resting = this.resting.filter(({ until }) => until > this.now);
    for (const entrance of this.entrances) this.stepEntrance(entrance);
    for (const worker of this.workers) this.stepWorker(worker);
    if (draw.chance(hazards.follower ?? 0)) this.replaceFollower();
    if (this.now % 60 === 0) this.kept = { next: this.log.length, state: copied(this.account.state()) };
  }

  /** Nothing happens any more. Steps until the queue has given out everything that waited. */
  calmDown(): void {
    this.hazards = {};
    this.step();
    for (const left = [...this.queue]; left.some((place) => this.queue.includes(place)); ) this.step();
  }

  /** Takes a message out of the queue that nobody has; false when there is none. */
  steal(): boolean {
    const [stolen] = this.queue.splice(this.draw.whole(0, Math.max(0, this.queue.length - 1)), 1);
    if (!stolen) return false;
    const id = placeId(stolen);
    const elsewhere = [...this.entrances.flatMap(({ spool }) => spool), ...this.resting.map(({ place }) => place)];
    const others = [...this.queue, ...this.workers.flatMap(({ hand }) => hand), ...elsewhere];
    const isElsewhere = this.worked.has(id) || others.some((other) => placeId(other) === id);
    if (!isElsewhere && this.confirmed.has(id)) this.stolen.add(id);
    return true;
  }

  private get isLogUp(): boolean {
    return this.now >= this.logBackAt;
  }

  private stepEntrance(entrance: SimEntrance): void {
    const { draw, hazards } = this;
    const breaks = draw.chance(hazards.spool ?? 0);
    if (breaks) entrance.queueBackAt = this.now + draw.whole(1, 120);
    if (this.now >= entrance.queueBackAt) this.queue.push(...entrance.spool.splice(0, 20));
    for (let i = draw.whole(0, 4); i > 0; i--) {
      const { run } = entrance;
      const number = run.next();
      const message = run.place(number);
      const isOdd = draw.chance(hazards.publishes ?? 0);
      const kept = isOdd ? draw.whole(0, 2) : 1;
      // When a line breaks, some of those under way reach the queue.
      const isSpooled = this.now < entrance.queueBackAt ? !breaks || draw.chance(0.5) : entrance.spool.length > 0;
      if (isSpooled) entrance.hasSpooled = true;
      for (let copies = kept; copies > 0; copies--) (isSpooled ? entrance.spool : this.queue).push(message);
      if (kept > 0 && !(isOdd && draw.chance(0.5))) {
        run.confirmed(number);
        this.confirmed.add(placeId(message));
      } else run.gaveUp(number);
    }
    if (this.now % BEAT === entrance.beatAt) this.beat(entrance);
    if (!draw.chance(hazards.entrances ?? 0)) return;
    if (draw.chance(0.5)) this.beat(entrance, true);
    entrance.run = new BatchRun();
    this.beat(entrance);
  }

  private beat(entrance: SimEntrance, ended = false): void {
    const { run, spool, hasSpooled } = entrance;
    const beat = run.beat();
    const spooled = Math.max(spool.length, hasSpooled ? 1 : 0);
    if (!this.append([{ is: 'beat', entrance: 'broker', ...beat, spooled, ended }])) return;
    run.said(beat);
    entrance.hasSpooled = false;
  }

  private stepWorker(worker: SimWorker): void {
    const { draw, hazards } = this;
    if (draw.chance(hazards.halts ?? 0)) {
      worker.stoppedUntil = this.now + draw.whole(1, 600);
      worker.patience = this.now + draw.whole(20, 700);
    }
    if (this.now < worker.stoppedUntil) {
      // It goes on with what it has, but the queue gives that to others, too.
      if (this.now === worker.patience) this.queue.unshift(...worker.hand);
      return;
    }
    if (this.now < this.idleUntil) {
      this.leave(worker);
      return;
    }
    if (!worker.isKnown) this.say(worker, false);
    while (worker.isKnown && worker.hand.length < PREFETCH && this.queue.length > 0)
      worker.hand.push(...this.queue.splice(0, 1));
    if (this.now >= this.storeBackAt && this.isLogUp) this.workOff(worker);
    if (this.now % BEAT === worker.beatAt) this.say(worker, false);
    if (worker.hand.length > 0 && draw.chance(hazards.failures ?? 0)) this.fail(worker);
    if (draw.chance(hazards.workers ?? 0)) this.leave(worker);
  }

  private fail(worker: SimWorker): void {
    const [place] = worker.hand.splice(this.draw.whole(0, worker.hand.length - 1), 1);
    if (!place) return;
    worker.gone.push(place);
    this.resting.push({ place, until: this.now + this.draw.whole(1, 30) });
  }

  private leave(worker: SimWorker): void {
    const { draw } = this;
    this.queue.unshift(...worker.hand);
    worker.gone.push(...worker.hand.splice(0));
    if (draw.chance(0.3)) this.say(worker, true);
    else if (draw.chance(0.5)) return;
    Object.assign(worker, this.newWorker(), { beatAt: worker.beatAt });
  }

  private workOff(worker: SimWorker): void {
    const { draw } = this;
    const done = worker.hand.filter(() => draw.chance(0.8));
    if (done.length === 0) return;
    for (const run of new Set(done.map((place) => place.run))) {
      const ofRun = done.filter((place) => place.run === run);
      const numbers = new NumberRanges(ofRun.map(({ number }) => ({ from: number, to: number })));
      const confirmed = Math.max(...ofRun.map((place) => place.confirmed));
      this.append([{ is: 'done', worker: worker.name, run, done: [...numbers.list()], confirmed }]);
    }
    for (const place of done) this.worked.add(placeId(place));
    // It is acknowledged after it was said: the worker may die in between.
    const acknowledged = new Set(done.filter(() => !draw.chance(0.05)));
    worker.hand = worker.hand.filter((place) => !acknowledged.has(place));
  }

  private say(worker: SimWorker, left: boolean): void {
    const places = left ? [] : [...worker.hand, ...worker.gone];
    const held = [...new Set(places.map(({ run }) => run))].map((run) => ({
      run,
      numbers: [
        ...new NumberRanges(
          places.filter((place) => place.run === run).map(({ number }) => ({ from: number, to: number })),
        ).list(),
      ],
    }));
    if (!this.append([{ is: 'held', worker: worker.name, held, left }])) return;
    worker.gone = [];
    worker.isKnown = !left;
  }

  private append(notes: AccountNote[]): boolean {
    if (!this.isLogUp) return false;
    this.log.push(notes);
    this.findings.push(...this.account.hear(notes, this.now * SECOND));
    return true;
  }

  /** Another follower goes on from what this one has written, if it has, and from the last minutes otherwise. */
  private replaceFollower(): void {
    this.account = this.newAccount();
    const { kept } = this;
    if (kept) this.account.restore(kept.state);
    const from = kept?.next ?? Math.max(0, this.log.length - 200);
    for (const notes of this.log.slice(from)) this.findings.push(...this.account.hear(notes, this.now * SECOND));
  }

  private newWorker(): SimWorker {
    this.names += 1;
    const beatAt = this.draw.whole(0, BEAT - 1);
    return { name: `w${this.names}`, beatAt, hand: [], gone: [], stoppedUntil: 0, patience: 0, isKnown: false };
  }

  private newAccount(): BatchAccount {
    return new BatchAccount(this.hazards.halts === undefined ? { mostHeldMs: 0 } : {});
  }
}

export function each({ from, to }: { readonly from: number; readonly to: number }): number[] {
  return Array.from({ length: to - from + 1 }, (_, i) => from + i);
}

/** As it is after it was written and read. */
function copied<T>(state: T): T {
  return structuredClone(state);
}
