import type { ChannelModel } from 'amqplib';
import { pause } from '../../core/timing.ts';
import { closeChannel, ignoreError } from './channel.ts';

/**
 * How long a new queue is left alone before it is used. The server (seen in 3.10.8) stores the list of its queues half
 * a second late. Killed before that, it comes back with a queue that has lost everything it confirmed and never works
 * again.
 */
export const SETTLE_MS = 2_000;

/** A durable queue or stream as Loam wants it. */
export interface Declaration {
  readonly name: string;
  readonly arguments: Readonly<Record<string, string | number>>;
  /** Arguments that the queue can do without: an existing queue with other values of them is used as it is. */
  readonly optional?: readonly string[];
}

/**
 * Makes the queue if there is none, and then resolves after `settleMs`. A queue that exists with the same arguments is
 * left as it is. Rejects when it exists with other ones, and names the argument: it cannot be changed, so a person has
 * to decide.
 */
export async function declare(connection: ChannelModel, wanted: Declaration, settleMs = SETTLE_MS): Promise<void> {
  const fresh = !(await exists(connection, wanted.name));
  await assert(connection, wanted);
  if (fresh) await pause(settleMs);
}

/** Whether there is a queue or stream of that name. */
export async function exists(connection: ChannelModel, name: string): Promise<boolean> {
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
 * `adopted` names the optional arguments that were replaced by the queue's own values. Each is replaced once. Leaving
 * an argument out does not help: from 4.3 on the server compares absent arguments too.
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

/** An argument in which a queue differs from what was declared, and the queue's value of it: undefined when it has none. */
interface Difference {
  readonly argument: string;
  readonly current: string | number | undefined;
}

function asItIs(wanted: Declaration, { argument, current }: Difference): Declaration {
  const kept = Object.entries(wanted.arguments).filter(([name]) => name !== argument);
  if (current !== undefined) kept.push([argument, current]);
  return { ...wanted, arguments: Object.fromEntries(kept) };
}

// The server tells the difference in its text only: "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue …
// but current is '10'" (4.3), "… but current is the value '10' of type 'long'" (before), or "… but current is none".
function differenceIn(error: unknown): Difference | undefined {
  const text = error instanceof Error ? error.message : '';
  const argument = /inequivalent arg '([^']+)'/.exec(text)?.[1];
  if (argument === undefined) return undefined;
  const current = /but current is (?:the value )?'([^']*)'/.exec(text)?.[1];
  return { argument, current: current !== undefined && /^-?\d+$/.test(current) ? Number(current) : current };
}
