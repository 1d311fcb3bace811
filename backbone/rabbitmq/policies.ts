import { z } from 'zod';
import { explain } from '../../core/errors.ts';

/** A queue or stream of ours on the server. */
export interface RabbitPlace {
  readonly vhost: string;
  readonly name: string;
  readonly kind: 'queue' | 'stream';
}

/** What a policy does to one queue or stream. `key` is the policy's, and `harm` ends a sentence that begins with the policy. */
export interface PolicyHarm {
  readonly name: string;
  readonly policy: string;
  readonly key: string;
  readonly value: string;
  readonly harm: string;
}

const ANSWER_MS = 10_000;
const MOST_ANSWER_BYTES = 1024 ** 2;

const described = z.object({
  policy: z.string().nullish(),
  operator_policy: z.string().nullish(),
  // The server says [] for "none".
  effective_policy_definition: z.union([z.record(z.string(), z.unknown()), z.array(z.never())]).nullish(),
  arguments: z.union([z.record(z.string(), z.unknown()), z.array(z.never())]).nullish(),
});

/**
 * The keys of policies by which RabbitMQ deletes what Loam was told is kept, at each of `places`. A policy wins over the
 * arguments with which a queue was declared, and whoever publishes hears nothing of it. `api` is the address of the
 * management API with a user who has the tag `management` and some permission, which may match nothing, in each vhost:
 * `http://USER:PASSWORD@HOST:15672`. Places that are not there yet have no policy.
 *
 * Rejects with an Error that says what prevented the look, without the password.
 */
export async function harmfulPolicies(api: string, places: readonly RabbitPlace[]): Promise<PolicyHarm[]> {
  const harms: PolicyHarm[] = [];
  for (const place of places) harms.push(...harmsOf(place, await describe(api, place)));
  return harms;
}

async function describe(api: string, { vhost, name }: RabbitPlace): Promise<z.infer<typeof described>> {
  const { username, password, origin, pathname } = new URL(api);
  const base = `${origin}${pathname.replace(/\/$/, '')}`;
  const credentials = Buffer.from(`${decodeURIComponent(username)}:${decodeURIComponent(password)}`).toString('base64');
  try {
    const answer = await fetch(`${base}/api/queues/${encodeURIComponent(vhost)}/${encodeURIComponent(name)}`, {
      headers: { authorization: `Basic ${credentials}` },
      redirect: 'error',
      signal: AbortSignal.timeout(ANSWER_MS),
    });
    const text = await textOf(answer);
    if (answer.status === 404) return {};
    if (answer.status === 401 || answer.status === 403)
      throw new Error(
        `its user may not look at "${name}": it needs the tag management, and a permission in "${vhost}"`,
      );
    if (!answer.ok) throw new Error(`it answered ${answer.status}`);
    return described.parse(JSON.parse(text));
  } catch (cause) {
    throw new Error(`the management API at ${base}: ${explain(cause)}`, { cause });
  }
}

async function textOf(answer: Response): Promise<string> {
  const pieces: Uint8Array[] = [];
  let bytes = 0;
  for await (const piece of answer.body ?? []) {
    bytes += piece.length;
    if (bytes > MOST_ANSWER_BYTES) throw new Error('its answer is too long');
    pieces.push(piece);
  }
  return Buffer.concat(pieces).toString();
}

function harmsOf({ name, kind }: RabbitPlace, told: z.infer<typeof described>): PolicyHarm[] {
  const names = [
    ...(told.policy ? [`policy "${told.policy}"`] : []),
    ...(told.operator_policy ? [`operator policy "${told.operator_policy}"`] : []),
  ];
  return Object.entries(told.effective_policy_definition ?? {}).flatMap(([key, value]) => {
    const harm = kind === 'queue' ? harmToQueue(key, value) : harmToStream(key, value, { ...told.arguments });
    return harm === undefined ? [] : [{ name, policy: names.join(' or '), key, value: String(value), harm }];
  });
}

function harmToQueue(key: string, value: unknown): string | undefined {
  switch (key) {
    case 'message-ttl':
      return `deletes what waits for longer than ${value} ms`;
    case 'expires':
      return `deletes the queue, and what is in it, when nobody has used it for ${value} ms`;
    case 'overflow':
      return value === 'reject-publish' ? undefined : 'deletes the oldest message when the queue is full';
    case 'delivery-limit':
      return Number(value) < 0 ? undefined : `deletes a message that was given out ${value} times without an end`;
    default:
      return undefined;
  }
}

/** Streams are trimmed on purpose: a policy does harm when it keeps less than Loam has asked for. */
function harmToStream(key: string, value: unknown, wanted: Readonly<Record<string, unknown>>): string | undefined {
  switch (key) {
    case 'expires':
      return `deletes the stream when nobody has used it for ${value} ms`;
    case 'max-length-bytes':
      return Number(value) < Number(wanted['x-max-length-bytes'])
        ? `keeps ${value} bytes instead of ${wanted['x-max-length-bytes']}`
        : undefined;
    case 'max-age':
      return seconds(value) < seconds(wanted['x-max-age'])
        ? `deletes what is older than ${value}, and not ${wanted['x-max-age']}`
        : undefined;
    default:
      return undefined;
  }
}

const SECONDS: Readonly<Record<string, number>> = { Y: 31_536_000, M: 2_592_000, D: 86_400, h: 3_600, m: 60, s: 1 };

/** An age as RabbitMQ writes it: `7D`, `3600s`. */
function seconds(age: unknown): number {
  const [, amount, unit = ''] = /^(\d{1,15})([YMDhms])$/.exec(String(age)) ?? [];
  return Number(amount) * (SECONDS[unit] ?? Number.NaN);
}
