import { z } from 'zod';
import type { Config } from '../core/config.ts';
import { ApiRefused, ConfigInvalid, explain } from '../core/errors.ts';
import { withoutSecrets } from '../core/without-secrets.ts';
import { commandToken } from '../roles/data-folder.ts';

const DEADLINE_MS = 60_000;

export interface ApiCall {
  readonly method?: 'GET' | 'POST' | 'PUT' | 'DELETE';
  /** An object is sent as JSON, bytes and text as they are. Default: `{}`, and nothing with GET. */
  readonly body?: object | string | Uint8Array;
  /** Content type of the body; default: `application/json`. */
  readonly contentType?: string;
  /** Aborts the call. */
  readonly signal?: AbortSignal;
}

const problem = z.object({ code: z.string(), title: z.string(), detail: z.string().optional() });

/**
 * The HTTP interface of a running Loam, for commands. `LOAM_URL` is its address; `LOAM_TOKEN` or the token in the data
 * folder signs the command in.
 */
export class Api {
  private readonly base: string;
  /** The address as it may be shown. */
  private readonly shown: string;
  private readonly token: string;

  private constructor(base: string, token: string) {
    this.base = base;
    this.shown = withoutSecrets(base);
    this.token = token;
  }

  /** Rejects with ConfigInvalid when there is no token. Sends nothing yet. */
  static async open(config: Config): Promise<Api> {
    return new Api(config.url.replace(/\/$/, ''), await commandToken(config));
  }

  /**
   * Calls `path` (`/api/…`, its parts percent-encoded) and resolves with the answer's JSON as `schema` reads it; an
   * answer without a body is `undefined`.
   * Rejects with ConfigInvalid when nothing answers there or the token is not accepted. Rejects with ApiRefused for any
   * other refusal and for an answer that does not fit `schema`.
   */
  async call<T>(path: string, schema: z.ZodType<T>, call: ApiCall = {}): Promise<T> {
    const answer = await this.send(path, { ...call, signal: withTimeout(call.signal) });
    const text = await answer.text();
    let value: unknown;
    try {
      value = text === '' ? undefined : JSON.parse(text);
    } catch (cause) {
      throw this.misunderstood(path, answer.status, cause);
    }
    const parsed = schema.safeParse(value);
    if (!parsed.success) throw this.misunderstood(path, answer.status, parsed.error);
    return parsed.data;
  }

  /** Like `call`, for an answer that is read piece by piece. It has no time-out. */
  async stream(path: string, call: ApiCall = {}): Promise<ReadableStream<Uint8Array>> {
    const { body } = await this.send(path, call);
    return body ?? new ReadableStream({ start: (controller) => controller.close() });
  }

  /** The WebSocket address of the gateway's live readings, and the token that signs a client in. */
  live(): { address: string; token: string } {
    return { address: `${this.base.replace(/^http/, 'ws')}/ws`, token: this.token };
  }

  private async send(path: string, { method = 'GET', body, contentType, signal }: ApiCall): Promise<Response> {
    const headers: Record<string, string> = { authorization: `Bearer ${this.token}` };
    const init: RequestInit = { method, headers, redirect: 'error' };
    if (signal) init.signal = signal;
    if (method !== 'GET') {
      headers['content-type'] = contentType ?? 'application/json';
      init.body =
        typeof body === 'string' || body instanceof Uint8Array ? Buffer.from(body) : JSON.stringify(body ?? {});
    }
    let answer: Response;
    try {
      answer = await fetch(`${this.base}${path}`, init);
    } catch (cause) {
      // The time-out of `call` only means that nothing answers. An abort by the caller is passed on as it is.
      if (!(cause instanceof Error && cause.name === 'TimeoutError')) signal?.throwIfAborted();
      throw new ConfigInvalid(
        'LOAM_URL',
        `LOAM_URL: no Loam answers at ${this.shown}: ${withoutSecrets(explain(cause))}. Is \`loam up\` or \`loam gateway\` running?`,
        { cause },
      );
    }
    if (answer.ok) return answer;
    throw await this.refusal(answer);
  }

  private async refusal(answer: Response): Promise<ConfigInvalid | ApiRefused> {
    // A proxy in between may answer with a page of its own: then only the status is known.
    const parsed = problem.safeParse(await answer.json().catch(() => undefined));
    const { status } = answer;
    const { code, title, detail } = parsed.data ?? { code: `http-${status}`, title: `it answered ${status}` };
    if (status === 401) {
      return new ConfigInvalid(
        'LOAM_TOKEN',
        `LOAM_TOKEN: ${this.shown} does not take the token: it is another Loam’s, or LOAM_DATA is another folder than its own`,
      );
    }
    return new ApiRefused(`${this.shown}: ${detail ?? title} (${code})`, { status, problem: code });
  }

  private misunderstood(path: string, status: number, cause: unknown): ApiRefused {
    return new ApiRefused(`${this.shown}${path}: the answer was not understood; is it a Loam of the same version?`, {
      status,
      problem: 'unexpected-answer',
      cause,
    });
  }
}

function withTimeout(signal: AbortSignal | undefined): AbortSignal {
  const late = AbortSignal.timeout(DEADLINE_MS);
  return signal ? AbortSignal.any([signal, late]) : late;
}
