import { Worker } from 'node:worker_threads';
import { explain, StoreUnavailable } from '../../core/errors.ts';
import { threadEntry } from '../../core/thread.ts';
import type { Ask, Settings, StoreAnswer, StoreReply, StoreRequest } from './protocol.ts';

type AnswerTo<K extends StoreAnswer['is']> = Extract<StoreAnswer, { is: K }>;

interface PendingCall {
  answer(answer: StoreAnswer): void;
  fail(why: string): void;
}

/** Most calls that wait. A store with more is too slow to catch up, and more calls would only fill memory. */
const MAX_WAITING = 1_000;

const ENTRY = threadEntry(new URL('./worker.ts', import.meta.url));

/**
 * One run of the thread that owns the database. Calls are answered after `opened` resolves. The thread ends once: asked
 * to, broken, or killed. From then on every call, waiting or new, rejects with StoreUnavailable.
 */
export class DuckdbThread {
  /** Resolves when the database can be used, rejects with StoreUnavailable when it cannot be opened. */
  readonly opened: Promise<void>;
  /** Resolves, with the reason, when the thread has ended and its files are released. */
  readonly ended: Promise<string>;
  private readonly worker: Worker;
  private readonly waiting = new Map<number, PendingCall>();
  private lastId = 0;
  private why = 'it ended by itself';
  private gone = false;

  constructor(settings: Settings) {
    this.worker = new Worker(ENTRY, { execArgv: [], workerData: settings, name: 'duckdb' });
    this.ended = new Promise((resolve) => {
      this.worker.once('exit', () => {
        this.gone = true;
        for (const waiting of this.waiting.values()) waiting.fail(this.why);
        this.waiting.clear();
        resolve(this.why);
      });
    });
    this.worker.on('error', (error) => {
      this.why = explain(error);
    });
    this.opened = new Promise((resolve, reject) => {
      this.worker.on('message', (reply: StoreReply) => {
        if (reply.is === 'open') resolve();
        else this.take(reply);
      });
      const refuse = (why: string) =>
        reject(new StoreUnavailable(`DuckDB cannot open ${settings.file}`, { cause: new Error(why) }));
      void this.ended.then(refuse);
    });
    // Callers that await `opened` still get the error; without one it must not end the process.
    this.opened.catch(() => {});
  }

  /** Asks the thread; resolves to its answer, which has to be of `kind`. Rejects with StoreUnavailable. */
  call<K extends StoreAnswer['is']>(ask: Ask, kind: K, move: ArrayBuffer[] = []): Promise<AnswerTo<K>> {
    return this.begin(ask, kind, move).answer;
  }

  /** As `call`, and also returns the request's id. */
  begin<K extends StoreAnswer['is']>(
    ask: Ask,
    kind: K,
    move: ArrayBuffer[] = [],
  ): { id: number; answer: Promise<AnswerTo<K>> } {
    this.lastId += 1;
    const id = this.lastId;
    const answer = new Promise<AnswerTo<K>>((resolve, reject) => {
      const fail = (why: string) => reject(new StoreUnavailable('DuckDB', { cause: new Error(why) }));
      if (this.gone) return fail(this.why);
      // Leaving and closing free memory: they are never refused.
      if (this.waiting.size >= MAX_WAITING && ask.is !== 'leave' && ask.is !== 'close')
        return fail('too many calls wait');
      this.waiting.set(id, {
        answer: (given) => (isOf(given, kind) ? resolve(given) : fail(`it answered ${given.is} to ${ask.is}`)),
        fail,
      });
      this.worker.postMessage({ id, ask } satisfies StoreRequest, move);
    });
    return { id, answer };
  }

  /** Ends the thread after the requests before this one, and resolves when it has ended. */
  async close(): Promise<void> {
    this.why = 'it was closed';
    // The thread ends whatever the answer is.
    await this.call({ is: 'close' }, 'done').catch(() => {});
    await this.ended;
  }

  private take(reply: Exclude<StoreReply, { is: 'open' }>): void {
    if (reply.is === 'broken') {
      this.why = reply.why;
      return;
    }
    const waiting = this.waiting.get(reply.id);
    this.waiting.delete(reply.id);
    if (reply.is === 'answer') waiting?.answer(reply.answer);
    else waiting?.fail(reply.why);
  }
}

function isOf<K extends StoreAnswer['is']>(answer: StoreAnswer, kind: K): answer is AnswerTo<K> {
  return answer.is === kind;
}
