import { Worker } from 'node:worker_threads';
import { explain } from '../../core/errors.ts';
import { threadEntry } from '../../core/thread.ts';
import { backoff } from '../../core/timing.ts';
import { type ReadingChange, readingChangesIn, readingChangesOf } from '../../telemetry/reading-registry.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import { type PublishRange, WHOLE } from './decoder.ts';
import {
  type DecodeSettings,
  type FromThread,
  type JobOutcome,
  PLACE,
  PLACE_BYTES,
  PLACES,
  STEPS,
  type ToThread,
} from './thread-messages.ts';

const ENTRY = threadEntry(new URL('./thread.ts', import.meta.url));
/** How long a new thread may take until it can decode, ms. */
const START_MS = 60_000;
const FIRST_PAUSE_MS = 100;
const LONGEST_PAUSE_MS = 5_000;
/** A publish that needs more ends the thread, and only the thread. */
const MOST_HEAP_MB = 512;
/** So often within the time limit it is looked whether the thread got on. */
const LOOKS = 10;

export interface DecodeThreadOptions {
  /** The registry in force; without it only what Loam knows by itself is used. */
  readonly registry?: RegistryView | undefined;
  /** As in `DecodeSettings`; asked for at each start of a thread. */
  readonly codecFolder?: string | undefined;
  readonly apart?: (() => readonly string[]) | undefined;
  readonly waits?: boolean | undefined;
  /** The thread is ended when it takes longer than this for one publish, ms. */
  readonly limitMs: number;
  /** Called when the thread got on. */
  readonly progressed?: (() => void) | undefined;
  /** Called when a thread was ended, or ended by itself. */
  readonly lost?: ((why: string) => void) | undefined;
}

interface PendingJob {
  readonly id: number;
  readonly body: Uint8Array;
  readonly part: PublishRange;
  readonly resolve: (outcome: JobOutcome) => void;
  readonly reject: (error: Error) => void;
}

/**
 * A thread that decodes queue messages one after the other, and that is ended when one publish takes it longer than the limit. The job that it
 * was at has failed then, at a known place; those behind it are given to a new thread. `terminate` also ends what no
 * handler interrupts, such as a builtin of QuickJS.
 *
 * The limit is counted in looks of this thread's own timer, not in the clock's time: a process that was suspended, or whose main loop stood
 * still, had no chance to see the progress.
 */
export class DecodeThread {
  private readonly options: DecodeThreadOptions;
  private readonly unwatch: (() => void) | undefined;
  private readonly jobs: PendingJob[] = [];
  private progress = new Int32Array(new SharedArrayBuffer(8));
  private input = new Uint8Array(new SharedArrayBuffer(0));
  private worker: Worker | undefined;
  private isReady = false;
  private isClosed = false;
  /** So many of `jobs`, the first ones, are with the thread. */
  private posted = 0;
  private lastId = 0;
  private seenSteps = 0;
  private looksWithoutStep = 0;
  private looking: NodeJS.Timeout | undefined;
  private starting: NodeJS.Timeout | undefined;
  private failedStarts = 0;
  private whyNotStarted: string | undefined;

  constructor(options: DecodeThreadOptions) {
    this.options = options;
    this.unwatch = options.registry?.watch((changes) => {
      const rules = this.needed(readingChangesIn(changes));
      if (rules.length > 0) this.send({ rules });
    });
  }

  /** Why no thread could be started; undefined when one could. */
  get trouble(): string | undefined {
    return this.whyNotStarted;
  }

  /** Whether jobs wait for a thread that is not up yet. */
  get isStarting(): boolean {
    return this.jobs.length > 0 && !this.isReady;
  }

  /** Starts the thread, so that the first message does not wait for it. */
  start(): void {
    if (this.isClosed || this.worker || this.starting) return;
    this.isReady = false;
    this.progress = new Int32Array(new SharedArrayBuffer(8));
    this.input = new Uint8Array(new SharedArrayBuffer(PLACES * PLACE_BYTES));
    const worker = this.newWorker();
    this.worker = worker;
    // The thread alone must not keep the process alive.
    worker.unref();
    worker.on('message', (message: FromThread) => {
      if (this.worker !== worker) return;
      if ('ready' in message) this.ready();
      else this.done(message.outcome, message.id);
    });
    worker.on('error', (error) => {
      if (this.worker === worker) this.lost(explain(error));
    });
    worker.on('exit', () => {
      if (this.worker === worker) this.lost('its thread ended');
    });
    this.starting = setTimeout(() => this.lost(`it did not start in ${START_MS / 1_000} s`), START_MS).unref();
  }

  /** Never rejects, unless the thread is closed. `body` stays the caller's. */
  run(body: Uint8Array, part: PublishRange = WHOLE): Promise<JobOutcome> {
    return new Promise((resolve, reject) => {
      if (this.isClosed) return reject(new Error('the decoder is closed'));
      this.lastId += 1;
      const job = { id: this.lastId, body, part, resolve, reject };
      this.jobs.push(job);
      if (this.isReady) this.post();
      else this.start();
      this.looking ??= setInterval(() => this.look(), this.options.limitMs / LOOKS).unref();
    });
  }

  /** Ends the thread. What still waits for it rejects. */
  async close(): Promise<void> {
    this.isClosed = true;
    this.unwatch?.();
    clearInterval(this.looking);
    const { worker } = this;
    this.forget();
    for (const { reject } of this.jobs.splice(0)) reject(new Error('the decoder was closed'));
    await worker?.terminate();
  }

  private newWorker(): Worker {
    const { codecFolder, apart, waits = false } = this.options;
    const { buffer: progress } = this.progress;
    const { buffer: input } = this.input;
    const settings: DecodeSettings = { progress, input, codecFolder, waits, apart: apart?.() ?? [] };
    const resourceLimits = { maxOldGenerationSizeMb: MOST_HEAP_MB };
    return new Worker(ENTRY, { execArgv: [], name: 'decode', resourceLimits, workerData: settings });
  }

  private ready(): void {
    clearTimeout(this.starting);
    this.starting = undefined;
    this.isReady = true;
    this.failedStarts = 0;
    this.whyNotStarted = undefined;
    this.looksWithoutStep = 0;
    const registry = this.options.registry?.current();
    if (registry) this.send({ rules: this.needed(readingChangesOf(registry)) });
    this.post();
  }

  /** A thread that runs no codecs is not sent any: they may have some ten MB. */
  private needed(changes: readonly ReadingChange[]): readonly ReadingChange[] {
    return this.options.codecFolder === undefined ? changes.filter((change) => change.of !== 'codec') : changes;
  }

  /** Gives jobs to the thread while there are places for their messages. */
  private post(): void {
    for (let job = this.jobs[this.posted]; job && this.posted < PLACES; job = this.jobs[this.posted]) {
      this.posted += 1;
      const { id, body, part } = job;
      if (body.length <= PLACE_BYTES) {
        this.input.set(body, (id % PLACES) * PLACE_BYTES);
        this.send({ id, body: body.length, ...part });
      } else {
        // A copy of its own: a part of a larger buffer would be copied with the whole of it.
        const copy = new Uint8Array(body);
        this.worker?.postMessage({ id, body: copy, ...part } satisfies ToThread, [copy.buffer]);
      }
    }
  }

  private send(message: ToThread): void {
    if (this.isReady) this.worker?.postMessage(message);
  }

  private look(): void {
    if (this.jobs.length === 0) {
      clearInterval(this.looking);
      this.looking = undefined;
      return;
    }
    if (!this.isReady) return;
    const steps = Atomics.load(this.progress, STEPS);
    if (steps !== this.seenSteps) {
      this.seenSteps = steps;
      this.looksWithoutStep = 0;
      this.options.progressed?.();
      return;
    }
    this.looksWithoutStep += 1;
    if (this.looksWithoutStep > LOOKS) this.lost(`it took longer than ${this.options.limitMs} ms`);
  }

  private done(outcome: JobOutcome, id: number): void {
    if (this.jobs[0]?.id !== id) return;
    this.looksWithoutStep = 0;
    this.jobs.shift()?.resolve(outcome);
    this.posted -= 1;
    this.post();
    this.options.progressed?.();
  }

  private lost(why: string): void {
    const { worker, isReady } = this;
    const place = Atomics.load(this.progress, PLACE);
    this.forget();
    void worker?.terminate();
    this.options.lost?.(why);
    if (isReady) {
      this.jobs.shift()?.resolve({ is: 'failed', why, place });
      if (this.jobs.length > 0) this.start();
      return;
    }
    // No job is to blame for a thread that does not start.
    this.whyNotStarted = why;
    const pause = backoff(this.failedStarts, FIRST_PAUSE_MS, LONGEST_PAUSE_MS);
    this.failedStarts += 1;
    this.starting = setTimeout(() => {
      this.starting = undefined;
      this.start();
    }, pause).unref();
  }

  private forget(): void {
    clearTimeout(this.starting);
    this.starting = undefined;
    this.worker = undefined;
    this.isReady = false;
    this.posted = 0;
    this.looksWithoutStep = 0;
  }
}
