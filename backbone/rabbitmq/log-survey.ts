import type { ChannelModel } from 'amqplib';
import type { LogHead } from '../ports/log.ts';
import { ANSWER_MS } from './link.ts';
import { PREFETCH, type RawEntry, Tap } from './log-tap.ts';

// How long a stream may show nothing before it counts as new. Too short does no harm: only the first claim counts.
const SILENCE_MS = 300;

export interface Survey extends LogHead {
  /** The oldest offset in the stream, claims included. */
  readonly oldest: number;
}

/**
 * Finds out where a stream begins and ends and what its epoch is. The server tells none of this: all is read off the
 * entries in the stream's first and last chunk.
 *
 * A new stream is empty, and a process that finds it empty appends a claim: an entry with a random id, the epoch. If
 * several do so at once, the earliest claim wins. It has offset 0, except when a writer that had not noticed that the
 * stream was deleted and made anew wrote an entry first: then the first claim after that entry wins. All other claims
 * are ignored. Every later entry carries the epoch, so any entry that is kept tells it when trimming has removed the
 * claim.
 *
 * `claim` appends a claim and resolves when it is confirmed.
 */
export async function survey(connection: ChannelModel, stream: string, claim: () => Promise<void>): Promise<Survey> {
  const [front, back] = await Promise.all([
    Tap.open(connection, stream, 'first'),
    Tap.open(connection, stream, 'last'),
  ]);
  try {
    const next = await endOf(back, claim);
    return await beginOf(front, next, claim);
  } finally {
    await Promise.all([front.close(), back.close()]);
  }
}

async function endOf(tap: Tap, claim: () => Promise<void>): Promise<number> {
  let round = await tap.next(SILENCE_MS);
  if (round.length === 0) {
    await claim();
    round = await tap.next(ANSWER_MS);
  }
  // The server sends as many entries as it may (PREFETCH) at once. When it sent fewer, the end was reached.
  let last = -1;
  for (;;) {
    await tap.sync();
    round.push(...tap.takeArrived());
    last = round.at(-1)?.offset ?? last;
    if (round.length < PREFETCH) break;
    tap.acknowledge();
    round = [];
  }
  if (last < 0) throw new Error('the stream gives no entries');
  return last + 1;
}

async function beginOf(tap: Tap, next: number, claim: () => Promise<void>): Promise<Survey> {
  let oldest: number | undefined;
  let epoch: string | undefined;
  let first: number | undefined;
  let seen = -1;
  let claimed = false;
  while (epoch === undefined || (first === undefined && seen < next - 1)) {
    const entries = await tap.next(ANSWER_MS);
    if (entries.length === 0) throw new Error('the stream gives no entries');
    tap.acknowledge();
    oldest ??= entries[0]?.offset;
    const atBirth = oldest === 0;
    epoch ??= entries.find((entry) => (atBirth ? entry.claim : tells(entry)))?.epoch;
    first ??= entries.find((entry) => !entry.claim)?.offset;
    seen = entries.at(-1)?.offset ?? seen;
    if (epoch === undefined && seen >= next - 1 && !claimed) {
      claimed = true;
      await claim();
    }
  }
  return { epoch, first: Math.min(first ?? next, next), next, oldest: oldest ?? next };
}

function tells(entry: RawEntry): boolean {
  return !entry.claim && entry.epoch !== undefined;
}
