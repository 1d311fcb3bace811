import { hostProblem, isSameOrigin } from '../../http/origin.ts';
import type { PerAddress } from '../../http/per-address.ts';
import { HttpProblem, problemReply, retryLater } from '../../http/problem.ts';
import type { RequestHead } from '../../http/request.ts';
import type { HttpRequest, HttpResponse, us_socket_context_t } from '../../http/uws.ts';
import { writeReply } from '../../http/write.ts';
import type { Caller, SignInSessions } from '../../sign-in/sessions.ts';
import type { LiveCounters } from '../counters.ts';
import { SUBPROTOCOL } from './protocol.ts';

/** A copy of a WebSocket handshake: the request of uWebSockets.js is valid only until its handler returns. */
export interface Handshake {
  readonly head: RequestHead;
  readonly key: string;
  readonly extensions: string;
  readonly protocols: string;
  readonly context: us_socket_context_t;
}

export function readHandshake(req: HttpRequest, head: RequestHead, context: us_socket_context_t): Handshake {
  const key = req.getHeader('sec-websocket-key');
  const extensions = req.getHeader('sec-websocket-extensions');
  const protocols = req.getHeader('sec-websocket-protocol');
  return { head, key, extensions, protocols, context };
}

export interface HandshakeOptions {
  readonly sessions: SignInSessions;
  readonly addresses: PerAddress;
  readonly counters: LiveCounters;
  readonly publicUrl: URL | undefined;
  /** Whether there is room for one more socket, and the gateway is not stopping. */
  readonly hasRoom: () => boolean;
}

/**
 * Accepts a handshake, or answers why not. `enter` makes the socket's data for the caller. It is called when nothing
 * can be refused any more, and from then on the socket counts for its address.
 */
export async function answerHandshake<Data>(
  res: HttpResponse,
  { head, key, extensions, protocols, context }: Handshake,
  { sessions, addresses, counters, publicUrl, hasRoom }: HandshakeOptions,
  enter: (caller: Caller) => Data,
): Promise<void> {
  let gone = false;
  res.onAborted(() => {
    gone = true;
  });
  const refuse = (event: keyof LiveCounters['refused'], problem: HttpProblem) => {
    counters.refused[event]++;
    if (!gone) writeReply(res, head, problemReply(problem), true);
  };
  const problem = hostProblem(head, publicUrl);
  if (problem) return refuse('cross-origin', problem);
  if (!isSameOrigin(head)) return refuse('cross-origin', new HttpProblem('cross-origin'));
  const offered = protocols.split(',').map((p) => p.trim());
  if (!offered.includes(SUBPROTOCOL)) {
    return refuse(
      'no-subprotocol',
      new HttpProblem('invalid-request', `the subprotocol ${SUBPROTOCOL} is not offered`),
    );
  }
  if (!hasRoom()) return refuse('too-many-sockets', retryLater('busy', 5));
  const caller = await sessions.caller(head);
  if (!caller) return refuse('not-signed-in', new HttpProblem('not-signed-in'));
  if (!hasRoom()) return refuse('too-many-sockets', retryLater('busy', 5));
  if (gone) return;
  if (!addresses.take(head.remoteAddress)) return refuse('too-many-of-address', retryLater('busy', 30));
  res.cork(() => res.upgrade<Data>(enter(caller), key, SUBPROTOCOL, extensions, context));
}
