import type { ChannelModel } from 'amqplib';
import { pause } from '../../core/lifecycle.ts';
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

async function assert(connection: ChannelModel, wanted: Declaration): Promise<void> {
  const channel = await connection.createChannel();
  channel.on('error', ignoreError);
  try {
    await channel.assertQueue(wanted.name, { durable: true, arguments: wanted.arguments });
  } catch (error) {
    const differing = differingArgument(error);
    if (differing === undefined) throw error;
    if (wanted.optional?.includes(differing)) return assert(connection, without(wanted, differing));
    throw new Error(
      `"${wanted.name}" exists on the server with another ${differing}; it has to be emptied and deleted to change it`,
      { cause: error },
    );
  }
  await closeChannel(channel);
}

function without(wanted: Declaration, argument: string): Declaration {
  const kept = Object.entries(wanted.arguments).filter(([name]) => name !== argument);
  return { ...wanted, arguments: Object.fromEntries(kept) };
}

// The server names it in its text only: "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue …".
function differingArgument(error: unknown): string | undefined {
  return error instanceof Error ? /inequivalent arg '([^']+)'/.exec(error.message)?.[1] : undefined;
}
