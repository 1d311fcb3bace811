import type { ChannelModel } from 'amqplib';
import { pause } from '../../core/timing.ts';
import { closeChannel, ignoreError } from './channel.ts';

/**
 * How long a fresh queue rests before it is used. The server (seen in 3.10.8) writes down which queues there are half a
 * second late: killed before that, it comes back with a queue that has lost everything it confirmed and never works again.
 */
export const SETTLE_MS = 2_000;

/** A durable queue or stream as Loam wants it. */
export interface Declaration {
  readonly name: string;
  readonly arguments: Readonly<Record<string, string | number>>;
  /** Arguments without which the queue does its work too: an existing queue that has them otherwise is used as it is. */
  readonly optional?: readonly string[];
}

/**
 * Makes the queue if there is none, and then resolves after it has rested for `settleMs`; one with the same arguments is
 * left as it is. Rejects when it exists with others, and says which: they cannot be changed, so a person has to decide.
 */
export async function declare(connection: ChannelModel, wanted: Declaration, settleMs = SETTLE_MS): Promise<void> {
  const fresh = !(await exists(connection, wanted.name));
  await assert(connection, wanted);
  if (fresh) await pause(settleMs);
}

async function exists(connection: ChannelModel, name: string): Promise<boolean> {
  const channel = await connection.createChannel();
  channel.on('error', ignoreError);
  try {
    await channel.checkQueue(name);
  } catch (error) {
    if (error instanceof Error && 'code' in error && error.code === 404) return false;
    throw error;
  }
  await closeChannel(channel);
  return true;
}

/**
 * `adopted` names the optional arguments that were asked for as the queue has them. Each is adopted once: leaving one out is no way round it,
 * for a server from 4.3 on compares what is absent too.
 */
async function assert(connection: ChannelModel, wanted: Declaration, adopted: readonly string[] = []): Promise<void> {
  const channel = await connection.createChannel();
  channel.on('error', ignoreError);
  try {
    await channel.assertQueue(wanted.name, { durable: true, arguments: wanted.arguments });
  } catch (error) {
    const difference = differenceIn(error);
    if (difference === undefined) throw error;
    const { argument } = difference;
    if (wanted.optional?.includes(argument) && !adopted.includes(argument)) {
      return assert(connection, asItIs(wanted, difference), [...adopted, argument]);
    }
    throw new Error(
      `"${wanted.name}" exists on the server with another ${argument}; it has to be emptied and deleted to change it`,
      { cause: error },
    );
  }
  await closeChannel(channel);
}

/** In what a queue differs from what was asked for, and what it has there: undefined when it has nothing. */
interface Difference {
  readonly argument: string;
  readonly current: string | number | undefined;
}

function asItIs(wanted: Declaration, { argument, current }: Difference): Declaration {
  const kept = Object.entries(wanted.arguments).filter(([name]) => name !== argument);
  if (current !== undefined) kept.push([argument, current]);
  return { ...wanted, arguments: Object.fromEntries(kept) };
}

// The server says it in its text only: "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue … but current is '10'"
// (4.3), "… but current is the value '10' of type 'long'" (before), or "… but current is none".
function differenceIn(error: unknown): Difference | undefined {
  const text = error instanceof Error ? error.message : '';
  const argument = /inequivalent arg '([^']+)'/.exec(text)?.[1];
  if (argument === undefined) return undefined;
  const current = /but current is (?:the value )?'([^']*)'/.exec(text)?.[1];
  return { argument, current: current !== undefined && /^-?\d+$/.test(current) ? Number(current) : current };
}
