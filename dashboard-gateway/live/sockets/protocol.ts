import { z } from 'zod';
import { ID } from '../../../telemetry/reading.ts';
import type { SensorStatus } from '../state/sensor-status.ts';

export const SUBPROTOCOL = 'loam.v1';
export const MAX_MESSAGE_BYTES = 16 * 1024;
export const MAX_SUBSCRIPTIONS = 64;
const MAX_FIELDS = 200;

/** Close codes of our own and of RFC 6455. */
export const CLOSE = { goingAway: 1001, policy: 1008, sessionEnded: 4401 } as const;

const id = z.int().min(0);
const name = z.string().regex(ID);
const clientMessage = z.discriminatedUnion('type', [
  z.object({
    type: z.literal('subscribe'),
    id,
    farm: name,
    fields: z.array(name).min(1).max(MAX_FIELDS).optional(),
    since: z.object({ epoch: z.string().max(64), seq: z.int().min(-1) }).optional(),
  }),
  z.object({ type: z.literal('unsubscribe'), id }),
]);
const anyWithId = z.object({ id });

export type ClientMessage = z.infer<typeof clientMessage>;
export type Subscribe = Extract<ClientMessage, { type: 'subscribe' }>;

export type LiveErrorCode =
  | 'bad-message'
  | 'forbidden'
  | 'too-many-subscriptions'
  | 'unknown-subscription'
  | 'store-unavailable';

/** A message as the client meant it, or what is wrong with it and the id it had, if any. */
export type ParsedMessage =
  | { readonly message: ClientMessage }
  | { readonly id: number | null; readonly wrong: string };

export function parseMessage(text: string): ParsedMessage {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return { id: null, wrong: 'not JSON' };
  }
  const parsed = clientMessage.safeParse(value);
  if (parsed.success) return { message: parsed.data };
  const issue = parsed.error.issues[0];
  const place = issue?.path.map(String).join('.');
  return {
    id: anyWithId.safeParse(value).data?.id ?? null,
    wrong: `${place ? `${place}: ` : ''}${issue?.message ?? 'not a message'}`,
  };
}

/** sensor, metric, ts, last, and when more than one value was folded: min, max, mean, count. */
export type FrameRow =
  | readonly [string, string, number, number]
  | readonly [string, string, number, number, number, number, number, number];

export const frames = {
  /** `sensors` is JSON already: one text serves every socket that asks for the same. */
  snapshot: (subscription: number, epoch: string, seq: number, sensors: string) =>
    `{"type":"snapshot","id":${subscription},"epoch":${JSON.stringify(epoch)},"seq":${seq},"sensors":${sensors}}`,
  readings: (farm: string, field: string, rows: readonly FrameRow[]) =>
    JSON.stringify({ type: 'readings', farm, field, rows }),
  /** `now`: Unix ms, for viewers whose own clocks are wrong. */
  tick: (farm: string, seq: number, now: number) => JSON.stringify({ type: 'tick', farm, seq, now }),
  gap: (subscription: number) => JSON.stringify({ type: 'gap', id: subscription }),
  status: (farm: string, sensor: string, status: SensorStatus) =>
    JSON.stringify({ type: 'status', farm, sensor, ...status }),
  degraded: (tickMs: number) => JSON.stringify({ type: 'degraded', tickMs }),
  error: (subscription: number | null, code: LiveErrorCode, message: string) =>
    JSON.stringify({ type: 'error', id: subscription, code, message }),
} as const;
