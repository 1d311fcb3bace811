import { Worker } from 'node:worker_threads';
import { explain } from '../../core/errors.ts';
import { threadEntry } from '../../core/thread.ts';
import type { CodecAnswer, CodecInput, CodecJob, CodecLimits, CodecOutcome } from './codec.ts';

const ENTRY = threadEntry(new URL('./thread.ts', import.meta.url));
/** How long a new thread may take until it can run codecs, ms. */
const START_MS = 60_000;

interface PendingJob {
  readonly job: CodecJob;
  readonly resolve: (outcome: CodecOutcome) => void;
}

/**
 * Runs codecs in a thread of their own, one after the other. The thread starts with the first job. A codec that ends or
 * blocks the thread loses its own uplink only; the others go on in a new thread. What a worker may hold bounds how many
 * jobs wait.
 */
export class CodecThread {
  private readonly limits: CodecLimits;
  private readonly waiting: PendingJob[] = [];
  private worker: Worker | undefined;
  private isReady = false;
  private timer: NodeJS.Timeout | undefined;
  private lastId = 0;

  constructor(limits: CodecLimits) {
    this.limits = limits;
  }

  run(source: string, input: CodecInput): Promise<CodecOutcome> {
    this.lastId += 1;
    const job = { id: this.lastId, source, input };
    return new Promise((resolve) => {
      this.waiting.push({ job, resolve });
      if (this.waiting.length === 1) this.next();
    });
  }

  /** Ends the thread. Jobs that still wait resolve with the reason that the worker was stopped. */
  async close(): Promise<void> {
    for (const { resolve } of this.waiting.splice(0)) resolve({ why: 'the worker was stopped' });
    await this.end();
  }

  private next(): void {
    const [first] = this.waiting;
    clearTimeout(this.timer);
    if (!first) return;
    this.worker ??= this.start();
    if (this.isReady) this.worker.postMessage(first.job);
    this.timer = setTimeout(() => this.lost('it hangs'), this.isReady ? this.limits.hangMs : START_MS);
    this.timer.unref();
  }

  private start(): Worker {
    const worker = new Worker(ENTRY, {
      execArgv: [],
      name: 'codecs',
      resourceLimits: { maxOldGenerationSizeMb: 256 },
      workerData: this.limits,
    });
    // The thread alone must not keep the process alive.
    worker.unref();
    worker.on('message', (answer: CodecAnswer) => {
      if (this.worker === worker) this.take(answer);
    });
    worker.on('error', (error) => {
      if (this.worker === worker) this.lost(explain(error));
    });
    worker.on('exit', () => {
      if (this.worker === worker) this.lost('its thread ended');
    });
    return worker;
  }

  private take(answer: CodecAnswer): void {
    if ('ready' in answer) {
      this.isReady = true;
      this.next();
    } else if (this.waiting[0]?.job.id === answer.id) this.done(answer.outcome);
  }

  private lost(why: string): void {
    void this.end();
    this.done({ why: `the codec could not be run: ${why}` });
  }

  private done(outcome: CodecOutcome): void {
    this.waiting.shift()?.resolve(outcome);
    this.next();
  }

  private async end(): Promise<void> {
    const { worker } = this;
    this.worker = undefined;
    this.isReady = false;
    clearTimeout(this.timer);
    await worker?.terminate();
  }
}
