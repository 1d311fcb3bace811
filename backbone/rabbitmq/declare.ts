import type { ChannelModel } from 'amqplib';

/** A durable queue or stream as Loam wants it. */
export interface Declaration {
  readonly name: string;
  readonly arguments: Readonly<Record<string, string | number>>;
  /** Arguments without which the queue does its work too: an existing queue that has them otherwise is used as it is. */
  readonly optional?: readonly string[];
}

/**
 * Declares it; what exists with the same arguments is left as it is. Rejects when it exists with others, and says which:
 * arguments cannot be changed on the server, so that a person has to decide.
 */
export async function declare(connection: ChannelModel, wanted: Declaration): Promise<void> {
  const channel = await connection.createChannel();
  channel.on('error', ignoreError);
  try {
    await channel.assertQueue(wanted.name, { durable: true, arguments: wanted.arguments });
  } catch (error) {
    const differing = differingArgument(error);
    if (differing === undefined) throw error;
    if (wanted.optional?.includes(differing)) return declare(connection, without(wanted, differing));
    throw new Error(
      `"${wanted.name}" exists on the server with another ${differing}; it has to be emptied and deleted to change it`,
      { cause: error },
    );
  }
  await channel.close();
}

function without(wanted: Declaration, argument: string): Declaration {
  const kept = Object.entries(wanted.arguments).filter(([name]) => name !== argument);
  return { ...wanted, arguments: Object.fromEntries(kept) };
}

// The server names it in its text only: "PRECONDITION_FAILED - inequivalent arg 'x-max-length' for queue …".
function differingArgument(error: unknown): string | undefined {
  return error instanceof Error ? /inequivalent arg '([^']+)'/.exec(error.message)?.[1] : undefined;
}

/** For a channel's 'error' event: the 'close' event or the rejection that comes with it is what is acted on. */
export function ignoreError(): void {}
