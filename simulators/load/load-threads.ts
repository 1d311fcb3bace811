import { Worker } from 'node:worker_threads';
import { explain } from '../../core/errors.ts';
import { threadEntry } from '../../core/thread.ts';
import { withDeadline } from '../../core/timing.ts';
import type { ConnectRefusal, ThreadReport } from './driver.ts';
import { type FullPlan, partOf } from './plan.ts';
import type { Order, Word } from './thread.ts';

const ENTRY = threadEntry(new URL('./thread.ts', import.meta.url));
const TELL_MS = 30_000;
const LEAVE_MS = 3_000;

/** The load threads as one. An error in any thread rejects `failed`. */
export class LoadThreads {
  /** Resolves when all connections of all threads are up. */
  readonly ready: Promise<void>;
  /** Resolves when all that was to be sent is acknowledged. */
  readonly finished: Promise<void>;
  /** Rejects when a thread breaks; never resolves. */
  readonly failed: Promise<never>;
  private readonly members: LoadThread[];

  constructor(plan: FullPlan, onRefused: (refusal: ConnectRefusal) => void) {
    this.members = Array.from(
      { length: plan.threads },
      (_, i) => new LoadThread(partOf(plan, i, plan.threads), onRefused),
    );
    this.ready = Promise.all(this.members.map(({ ready }) => ready)).then(() => {});
    this.finished = Promise.all(this.members.map(({ finished }) => finished)).then(() => {});
    this.failed = Promise.race(this.members.map(({ failed }) => failed));
    // Callers that wait for `failed` still get the error. After a run nobody waits, and it must not be unhandled.
    this.failed.catch(() => {});
  }

  /** Begins to publish. */
  begin(): void {
    this.order({ do: 'begin' });
  }

  /** From now on `rate` publishes a second are due, over all threads. */
  changeRate(rate: number): void {
    const all = this.members.reduce((sum, { connections }) => sum + connections, 0);
    for (const member of this.members) member.order({ do: 'rate', rate: (rate * member.connections) / all });
  }

  /** Publishes nothing new any more. */
  halt(): void {
    this.order({ do: 'halt' });
  }

  /** The report of each thread since the last call. Rejects when a thread breaks or does not answer within 30 s. */
  tell(): Promise<ThreadReport[]> {
    return Promise.all(this.members.map((member) => member.tell()));
  }

  /** Ends every connection and thread. */
  async end(): Promise<void> {
    await Promise.all(this.members.map((member) => member.end()));
  }

  private order(order: Order): void {
    for (const member of this.members) member.order(order);
  }
}

/** One load thread and its messages. */
class LoadThread {
  readonly ready: Promise<void>;
  readonly finished: Promise<void>;
  readonly failed: Promise<never>;
  readonly connections: number;
  private readonly worker: Worker;
  private readonly gone: Promise<void>;
  private readonly asking: ((report: ThreadReport) => void)[] = [];

  constructor(plan: FullPlan, onRefused: (refusal: ConnectRefusal) => void) {
    this.connections = plan.connections.length;
    this.worker = new Worker(ENTRY, { execArgv: [], workerData: plan, name: 'load' });
    const { worker } = this;
    const heard = new Map<Word['is'], () => void>();
    this.ready = new Promise((resolve) => heard.set('ready', resolve));
    this.finished = new Promise((resolve) => heard.set('finished', resolve));
    worker.on('message', (word: Word) => {
      if (word.is === 'refused') onRefused(word.refusal);
      else if (word.is === 'told') this.asking.shift()?.(word.report);
      else heard.get(word.is)?.();
    });
    this.gone = new Promise((resolve) => worker.once('exit', () => resolve()));
    this.failed = new Promise((_, reject) => {
      worker.once('error', (error) =>
        reject(new Error(`a generator thread broke: ${explain(error)}`, { cause: error })),
      );
    });
    this.failed.catch(() => {});
  }

  order(order: Order): void {
    this.worker.postMessage(order);
  }

  async tell(): Promise<ThreadReport> {
    const told = new Promise<ThreadReport>((resolve) => this.asking.push(resolve));
    this.order({ do: 'tell' });
    return withDeadline(Promise.race([told, this.failed]), TELL_MS, 'a generator thread does not answer');
  }

  async end(): Promise<void> {
    this.order({ do: 'end' });
    try {
      await withDeadline(this.gone, LEAVE_MS, 'a generator thread does not end');
    } catch {
      await this.worker.terminate();
    }
  }
}
