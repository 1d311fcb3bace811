import { explain, LogUnavailable, QueueFull, QueueUnavailable, StoreUnavailable } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Metrics } from '../../core/metrics.ts';
import { type BodySignals, readBody } from './body.ts';
import { HttpCounters } from './counters.ts';
import { Door, type RequestSender, type TurnedAwayBy, UNCOUNTED, type Visit } from './door.ts';
import type { Access } from './origin.ts';
import { HttpProblem, problemReply, retryLater } from './problem.ts';
import { type AnyReply, isStreamed, type Reply, type Streamed } from './reply.ts';
import { type Request, type RequestHead, readHead } from './request.ts';
import type { HttpResponse, TemplatedApp } from './uws.ts';
import { writeReply, writeStream } from './write.ts';

/** Most bytes of a body, unless a route says otherwise. */
export const MAX_BODY = 16 * 1024;
/** What tells whether the process lives and is ready: answered whatever else is under way, and by any name. */
export const HEALTH = new Set(['/healthz', '/readyz']);

/** How a request is answered. */
export interface RequestPlan {
  /** The name under which the request is counted: its route's path. */
  readonly name: string;
  /** Most bytes of its body. */
  readonly maxBody: number;
  readonly answer: (request: Request) => AnyReply | Promise<AnyReply>;
}

export interface HttpServerOptions {
  /** Decides what becomes of a request before its body is read. Throws HttpProblem to refuse it. */
  readonly plan: (head: RequestHead) => RequestPlan;
  readonly access: Access;
  /** The name of the user whose session a request brings, or undefined. */
  readonly userOf: (sender: RequestSender) => Promise<string | undefined>;
  readonly log: Logger;
  readonly metrics?: Metrics | undefined;
  /** What durations are measured by, ms. */
  readonly passed: () => number;
}

/**
 * Connects uWebSockets.js with the routes. It reads each request completely, up to a limit, and writes the answer
 * unless the client has left. A response may not be touched after its `onAborted`, and everything written to it after
 * the handler returned must be corked.
 */
export class HttpServer {
  private readonly options: HttpServerOptions;
  private readonly door: Door;
  private readonly stopping = new AbortController();
  private readonly counters: HttpCounters | undefined;
  private open = 0;
  private idle: (() => void) | undefined;

  constructor(options: HttpServerOptions) {
    this.options = options;
    const { metrics, passed, userOf } = options;
    const onTurnedAway = (why: TurnedAwayBy) => this.counters?.ended(why);
    const door = new Door({ userOf, passed, onTurnedAway });
    this.door = door;
    this.counters = metrics && new HttpCounters(metrics, { open: () => this.open, rooms: () => door.counts });
  }

  /** Answers every HTTP request of `app`. */
  attach(app: TemplatedApp): void {
    app.any('/*', (res, req) => void this.take(res, readHead(res, req, this.options.access)));
  }

  /**
   * From now on new requests are refused, connections are closed with their answer, and streams are broken off.
   * Resolves when every open request has been answered.
   */
  async drain(): Promise<void> {
    this.stopping.abort();
    if (this.open > 0) {
      await new Promise<void>((resolve) => {
        this.idle = resolve;
      });
    }
  }

  /** Never rejects. */
  private async take(res: HttpResponse, head: RequestHead): Promise<void> {
    const left = new AbortController();
    const ended = new AbortController();
    res.onAborted(() => left.abort());
    const plan = this.planOf(head);
    let visit: Visit;
    try {
      if (this.stopping.signal.aborted) throw retryLater('busy', 1);
      visit = HEALTH.has(head.path) ? UNCOUNTED : this.door.enter(head, plan.maxBody, (why) => ended.abort(why));
    } catch (error) {
      // The body of such a request is not read.
      const refusal = this.problemOf(head, error);
      this.counters?.turnedAway(refusal.status);
      return writeReply(res, head, refusal, true);
    }
    this.open++;
    const answered = this.counters?.begin(plan.name);
    const status = await this.serve(res, head, plan, visit, { left: left.signal, ended: ended.signal });
    answered?.(status);
    visit.leave();
    this.open--;
    if (this.open === 0) this.idle?.();
  }

  /**
   * Resolves with the status of the answer, or 0 when the client left before it. Never rejects. `left` is aborted when
   * the client leaves.
   */
  private async serve(
    res: HttpResponse,
    head: RequestHead,
    { maxBody, answer }: RequestPlan,
    visit: Visit,
    signals: BodySignals,
  ): Promise<number> {
    const { left } = signals;
    const body = await readBody(res, head.method, maxBody, signals);
    if (body === 'left') return 0;
    const problem = body instanceof HttpProblem ? body : await visit.came();
    if (left.aborted) return 0;
    if (problem !== undefined || body instanceof HttpProblem) {
      const refusal = this.problemOf(head, problem);
      writeReply(res, head, refusal, true);
      return refusal.status;
    }
    let reply: AnyReply;
    let first: IteratorResult<string> | undefined;
    try {
      reply = await answer({ ...head, body: body.text, signal: left });
      // As long as nothing was written, an error can still be answered with its own status.
      if (isStreamed(reply)) first = await reply.pieces.next();
    } catch (error) {
      if (left.aborted) return 0;
      reply = this.problemOf(head, error);
    }
    if (isStreamed(reply)) await this.stream(res, head, reply, first, left);
    else if (!left.aborted) writeReply(res, head, reply, this.stopping.signal.aborted);
    return left.aborted ? 0 : reply.status;
  }

  /** Never rejects. */
  private async stream(
    res: HttpResponse,
    head: RequestHead,
    reply: Streamed,
    first: IteratorResult<string> | undefined,
    left: AbortSignal,
  ): Promise<void> {
    try {
      if (first !== undefined && head.method !== 'HEAD') {
        await writeStream(res, head, reply, first, AbortSignal.any([left, this.stopping.signal]));
      } else if (!left.aborted) writeReply(res, head, reply, true);
    } catch (error) {
      if (left.aborted) return;
      this.options.log.warn({ path: head.path }, `an answer was broken off: ${explain(error)}`);
      // An answer that was cut short must not look like a complete one.
      res.close();
    } finally {
      await reply.pieces.return?.();
    }
  }

  /**
   * A refused request is read to its end all the same. Closing while the client still sends could lose the refusal on
   * its way to the client.
   */
  private planOf(head: RequestHead): RequestPlan {
    try {
      return this.options.plan(head);
    } catch (error) {
      return { name: 'refused', maxBody: MAX_BODY, answer: () => this.problemOf(head, error) };
    }
  }

  private problemOf({ method, path }: RequestHead, error: unknown): Reply {
    if (error instanceof HttpProblem) return problemReply(error);
    if (error instanceof StoreUnavailable) return problemReply(retryLater('store-unavailable', 5));
    if (error instanceof LogUnavailable) return problemReply(retryLater('log-unavailable', 5));
    if (error instanceof QueueUnavailable) return problemReply(retryLater('queue-unavailable', 5));
    if (error instanceof QueueFull) return problemReply(retryLater('busy', 5, 'the queue is full'));
    this.options.log.error({ method, path }, `request failed: ${explain(error)}`);
    return problemReply(new HttpProblem('internal'));
  }
}
