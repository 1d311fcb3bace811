import { z } from 'zod';
import { DEAD_LOG_LIMITS } from '../../backbone/ports/log.ts';
import { msOf } from '../../telemetry/instant.ts';
import { administersAll, type RegistryView } from '../../telemetry/registry/registry.ts';
import type { EventRecorder } from '../events/event-recorder.ts';
import { parseNoBody, parseQuery } from '../http/parse.ts';
import { HttpProblem } from '../http/problem.ts';
import { json } from '../http/reply.ts';
import type { Route } from '../http/router.ts';
import type { Caller, SignInSessions } from '../sign-in/sessions.ts';
import { signedIn, visibleFarm } from '../sign-in/signed-in.ts';
import type { DeadLetterService, FoundLetter } from './service.ts';

/** Most bytes of a payload that a list shows; a single letter is shown whole. */
const MOST_IN_LIST = 2_048;

const whole = z
  .string()
  .regex(/^\d{1,15}$/, 'not a number')
  .transform(Number);
const listQuery = z.strictObject({
  state: z.enum(['open', 'replayed', 'discarded', 'all']).default('open'),
  sensor: z.string().max(64).optional(),
  reason: z.string().max(64).optional(),
  before: whole.optional(),
  limit: whole.refine((n) => n >= 1 && n <= 200, 'allowed: 1 to 200').default(50),
});

export interface DeadLetterParts {
  readonly registry: RegistryView;
  readonly sessions: SignInSessions;
  readonly letters: DeadLetterService;
  readonly events: Pick<EventRecorder, 'did'>;
}

/**
 * The farm whose letters a request is about: its id, or `''` for letters of no farm. Throws HttpProblem unless the
 * caller is an admin of it.
 */
type FarmOfLetters = (caller: Caller, farm: string) => string;

/**
 * Routes that list, show, replay and discard dead letters: those of a farm for its admins, and those of no farm for
 * admins of every farm. Letters of no farm are queue messages that could not be decoded. A letter's farm is that of the
 * sensor that signed in, whatever its topic says.
 */
export function deadLetterRoutes(parts: DeadLetterParts): Route[] {
  const { registry } = parts;
  const ofFarm: FarmOfLetters = ({ user }, farm) => visibleFarm(registry.current(), user, farm, 'admin').farm.id;
  const withoutFarm: FarmOfLetters = ({ user }) => {
    if (!administersAll(user)) throw new HttpProblem('forbidden', 'only for admins of every farm');
    return '';
  };
  return [
    ...routesAt('/api/farms/{farm}/dead-letters', ofFarm, parts),
    ...routesAt('/api/dead-letters', withoutFarm, parts),
  ];
}

function routesAt(path: string, farmOf: FarmOfLetters, { sessions, letters, events }: DeadLetterParts): Route[] {
  const list: Route['handler'] = signedIn(sessions, async (caller, request, { farm = '' }) => {
    const of = farmOf(caller, farm);
    const { letters: found, next, counts, reasons } = await letters.list(of, parseQuery(listQuery, request.query));
    const { bytes, oldest = null } = letters.logNow();
    const { maxBytes, maxAgeMs } = DEAD_LOG_LIMITS;
    const log = { bytes, maxBytes, oldest, maxAgeMs, warning: letters.warningFor(of) };
    return json({ letters: found.map((letter) => shown(letter, MOST_IN_LIST)), next, counts, reasons, log });
  });

  const one = (
    work: (of: string, offset: number, by: string) => Promise<FoundLetter>,
    kind?: 'letter_replayed' | 'letter_discarded',
  ): Route['handler'] =>
    signedIn(sessions, async (caller, request, { farm = '', offset = '' }) => {
      parseNoBody(request.body);
      const of = farmOf(caller, farm);
      const place = whole.safeParse(offset).data;
      if (place === undefined) throw new HttpProblem('not-found', 'a dead letter is named by its offset');
      const found = await work(of, place, caller.user.name);
      if (kind) {
        const { sensor, reason } = found.listed;
        const act = { kind, who: caller.user.name, from: request.remoteAddress };
        events.did({ ...act, farm: of, sensor, what: `letter ${place}: ${reason}` });
      }
      return json(shown(found));
    });

  return [
    { method: 'GET', path, handler: list },
    { method: 'GET', path: `${path}/{offset}`, handler: one((of, offset) => letters.one(of, offset)) },
    {
      method: 'POST',
      path: `${path}/{offset}/replay`,
      handler: one((of, offset, by) => letters.replay(of, offset, by), 'letter_replayed'),
    },
    {
      method: 'POST',
      path: `${path}/{offset}/discard`,
      handler: one((of, offset, by) => letters.discard(of, offset, by), 'letter_discarded'),
    },
  ];
}

function shown({ listed, letter }: FoundLetter, most = Number.POSITIVE_INFINITY) {
  const { offset, at, state, settled } = listed;
  const { publish, reason, explanation } = letter;
  const { sensor, topic, received, payload } = publish;
  return {
    offset,
    at,
    received: msOf(received),
    sensor,
    topic,
    reason,
    explanation,
    state,
    ...(settled ? { settled } : {}),
    size: payload.length,
    ...shownPayload(payload.subarray(0, most), payload.length > most),
    cut: payload.length > most,
  };
}

/** The bytes as text when they are UTF-8, otherwise in hexadecimal. With `stream`, the last character may be cut off. */
function shownPayload(bytes: Uint8Array, stream: boolean): { payload: string; encoding: 'text' | 'hex' } {
  try {
    const text = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes, { stream });
    return { payload: text, encoding: 'text' };
  } catch {
    return { payload: Buffer.from(bytes).toString('hex'), encoding: 'hex' };
  }
}
