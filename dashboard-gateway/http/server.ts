import { explain } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { HttpResponse, TemplatedApp } from '../uws.ts';
import type { Access } from './origin.ts';
import { HttpProblem, problemReply, retryLater } from './problem.ts';
import type { Reply } from './reply.ts';
import { type Head, type Request, readHead } from './request.ts';
import { writeReply } from './write.ts';

export const MAX_BODY_BYTES = 16 * 1024;
const MAX_OPEN = 512;

export type Answer = (request: Request) => Promise<Reply>;

/**
 * Between uWebSockets.js and the routes: reads a request whole, bounded, and writes the answer, unless the client has gone.
 * A response may not be touched after its `onAborted`, and everything written to it after the handler returned must be corked.
 */
export class HttpServer {
  private readonly answer: Answer;
  private readonly access: Access;
  private readonly log: Logger;
  private open = 0;
  private stopping = false;
  private idle: (() => void) | undefined;

  constructor(answer: Answer, access: Access, log: Logger) {
    this.answer = answer;
    this.access = access;
    this.log = log;
  }

  /** Answers every HTTP request of `app`. */
  attach(app: TemplatedApp): void {
    app.any('/*', (res, req) => this.take(res, readHead(res, req, this.access)));
  }

  /** From now on connections are closed with their answer. Resolves when every request at work has been answered. */
  async drain(): Promise<void> {
    this.stopping = true;
    if (this.open > 0) {
      await new Promise<void>((resolve) => {
        this.idle = resolve;
      });
    }
  }

  private take(res: HttpResponse, head: Head): void {
    let gone = false;
    res.onAborted(() => {
      gone = true;
    });
    const reply = (answer: Reply, close = false) => {
      if (gone) return;
      gone = true;
      writeReply(res, head, answer, close || this.stopping);
    };
    const serve = (body: string) => {
      this.open++;
      void this.answerSafely({ ...head, body }).then((answer) => {
        this.open--;
        reply(answer);
        if (this.open === 0) this.idle?.();
      });
    };
    const tooLarge = () => reply(problemReply(new HttpProblem('body-too-large')), true);
    if (this.open >= MAX_OPEN || this.stopping) reply(problemReply(retryLater('busy', 1)), true);
    else if (head.method === 'GET' || head.method === 'HEAD') serve('');
    else readBody(res, serve, tooLarge);
  }

  /** Never rejects. */
  private async answerSafely(request: Request): Promise<Reply> {
    try {
      return await this.answer(request);
    } catch (error) {
      if (error instanceof HttpProblem) return problemReply(error);
      this.log.error({ method: request.method, path: request.path }, `request failed: ${explain(error)}`);
      return problemReply(new HttpProblem('internal'));
    }
  }
}

/** Collects a body up to the limit; over it, stops collecting and says so at once. */
function readBody(res: HttpResponse, done: (body: string) => void, tooLarge: () => void): void {
  const chunks: Buffer[] = [];
  let size = 0;
  let over = false;
  res.onData((chunk, isLast) => {
    if (over) return;
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) {
      over = true;
      chunks.length = 0;
      tooLarge();
      return;
    }
    // The chunk's memory is taken back after this call.
    chunks.push(Buffer.from(new Uint8Array(chunk)));
    if (isLast) done(Buffer.concat(chunks).toString('utf8'));
  });
}
