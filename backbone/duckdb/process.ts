import { type ChildProcess, spawn } from 'node:child_process';
import { Socket } from 'node:net';
import { explain, StoreUnavailable } from '../../core/errors.ts';
import { programEntry } from '../../core/thread.ts';
import { AnswerWatch, MOST_SILENT_MS } from './answer-watch.ts';
import { type Column, FrameReader, sendFrame } from './frames.ts';
import type { Ask, OpenedFile, Settings, StoreAnswer, StoreReply, StoreRequest } from './protocol.ts';

type AnswerTo<K extends StoreAnswer['is']> = Extract<StoreAnswer, { is: K }>;

interface PendingCall {
  /** The tick at which it was begun. */
  readonly begun: number;
  readonly isRead: boolean;
  answer(answer: StoreAnswer): void;
  fail(why: string): void;
}

/** Most calls that wait. A store with more is too slow to catch up, and more calls would only fill memory. */
const MAX_WAITING = 1_000;
/** Asked for while others wait: they free memory, or tell whether the process is alive. */
const ALWAYS_TAKEN: ReadonlySet<Ask['is']> = new Set(['leave', 'close', 'alive']);
const READS: ReadonlySet<Ask['is']> = new Set(['latest', 'history', 'export', 'next']);
/** How long the process may take to end when it was told to, ms. It is killed then: what was confirmed is on disk. */
const LONGEST_END_MS = 5_000;
/** How much of what the process printed last is kept: a library that ends it says why there. */
const MOST_PRINTED = 2_000;

const ENTRY = programEntry(new URL('./main.ts', import.meta.url));

/** Every process under way. None may go on when this one ends. */
const underWay = new Set<ChildProcess>();
process.on('exit', () => {
  for (const child of underWay) child.kill('SIGKILL');
});

/**
 * One run of the process that owns the database. Calls are answered after `opened` resolves. The process ends once: asked
 * to, broken, killed, stuck, or ended by the library. From then on every call, waiting or new, rejects with StoreUnavailable.
 */
export class DuckdbProcess {
  /** Resolves when the database can be used, rejects with StoreUnavailable when it cannot be opened. */
  readonly opened: Promise<OpenedFile>;
  /** Resolves, with the reason, when the process has ended and its files are released. */
  readonly ended: Promise<string>;
  private readonly child: ChildProcess;
  private readonly channel: Socket;
  private readonly waiting = new Map<number, PendingCall>();
  private readonly answers: AnswerWatch;
  private lastId = 0;
  /** The reason that this side knows, or that the process gave as its last message. */
  private why: string | undefined;
  private gone = false;

  constructor(settings: Settings) {
    const args = [...ENTRY, JSON.stringify(settings)];
    this.child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe'] });
    underWay.add(this.child);
    const channel = this.child.stdio[3];
    if (!(channel instanceof Socket)) throw new Error('a pipe to a process is no socket');
    this.channel = channel;
    // A process that ends breaks its channel. That it ended is heard of in any case.
    channel.on('error', () => {});
    const printed = lastOf(this.child);
    this.ended = new Promise((resolve) => {
      const end = (how: string) => {
        if (this.gone) return;
        this.gone = true;
        this.answers.end();
        underWay.delete(this.child);
        const why = this.why ?? [how, printed()].filter((part) => part !== '').join(': ');
        this.why = why;
        for (const waiting of this.waiting.values()) waiting.fail(why);
        this.waiting.clear();
        resolve(why);
      };
      this.child.once('error', (error) => end(`its process cannot be started: ${explain(error)}`));
      // After `close` there is nothing more to read from it.
      this.child.once('close', (code, signal) => end(`its process ended by ${signal ?? `itself with code ${code}`}`));
    });
    this.opened = new Promise((resolve, reject) => {
      const frames = new FrameReader<StoreReply>((reply) => (reply.is === 'open' ? resolve(reply) : this.take(reply)));
      channel.on('data', (piece: Buffer) => frames.push(piece));
      const refuse = (why: string) =>
        reject(new StoreUnavailable(`DuckDB cannot open ${settings.file}`, { cause: new Error(why) }));
      void this.ended.then(refuse);
    });
    this.answers = new AnswerWatch(
      {
        ask: () => this.call({ is: 'alive' }, 'done'),
        waiting: () => this.waiting.values(),
        stuck: (why) => {
          this.why = why;
          this.child.kill('SIGKILL');
        },
      },
      settings.mostSilentMs ?? MOST_SILENT_MS,
    );
    // Callers that await `opened` still get the error; without one it must not end the process.
    this.opened.catch(() => {});
  }

  /** Asks the process; resolves to its answer, which has to be of `kind`. Rejects with StoreUnavailable. */
  call<K extends StoreAnswer['is']>(ask: Ask, kind: K, columns: readonly Column[] = []): Promise<AnswerTo<K>> {
    return this.begin(ask, kind, columns).answer;
  }

  /** As `call`, and also returns the request's id. */
  begin<K extends StoreAnswer['is']>(
    ask: Ask,
    kind: K,
    columns: readonly Column[] = [],
  ): { id: number; answer: Promise<AnswerTo<K>> } {
    this.lastId += 1;
    const id = this.lastId;
    const answer = new Promise<AnswerTo<K>>((resolve, reject) => {
      const fail = (why: string) => reject(new StoreUnavailable('DuckDB', { cause: new Error(why) }));
      if (this.gone) return fail(this.why ?? '');
      if (this.waiting.size >= MAX_WAITING && !ALWAYS_TAKEN.has(ask.is)) return fail('too many calls wait');
      this.waiting.set(id, {
        begun: this.answers.now,
        isRead: READS.has(ask.is),
        answer: (given) => (isOf(given, kind) ? resolve(given) : fail(`it answered ${given.is} to ${ask.is}`)),
        fail,
      });
      sendFrame(this.channel, { id, ask } satisfies StoreRequest, columns);
    });
    return { id, answer };
  }

  /** From now on it is not waited for long: the program stops. */
  hurry(): void {
    this.answers.hurry();
  }

  /** Ends the process after the requests before this one, and resolves when it has ended. `why` is told to calls that wait. */
  async close(why = 'it was closed'): Promise<void> {
    this.why = why;
    this.answers.end();
    const late = setTimeout(() => this.child.kill('SIGKILL'), LONGEST_END_MS);
    // The process ends whatever the answer is.
    await this.call({ is: 'close' }, 'done').catch(() => {});
    await this.ended;
    clearTimeout(late);
  }

  private take(reply: Exclude<StoreReply, { is: 'open' }>): void {
    if (reply.is === 'broken') {
      this.why ??= reply.why;
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

/** Reads what the process prints as an error; returns a function that tells the last of it. */
function lastOf(child: ChildProcess): () => string {
  let text = '';
  child.stderr?.setEncoding('utf8').on('data', (piece: string) => {
    text = (text + piece).slice(-MOST_PRINTED);
  });
  return () => text.trim();
}
