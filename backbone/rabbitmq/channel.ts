import { type Channel, IllegalOperationError } from 'amqplib';
import { withDeadline } from '../../core/timing.ts';
import { ANSWER_MS } from './link.ts';

/** For a channel's 'error' event: callers act on the 'close' event, or the rejection, that comes with it. */
export function ignoreError(): void {}

/**
 * Resolves when the channel is closed, by us or by the end of its connection, and rejects when the server does not
 * answer in time. amqplib's own promise never settles when the connection breaks before the server has answered.
 */
export async function closeChannel(channel: Channel): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    channel.once('close', resolve);
    // amqplib rejects when the channel is closed already.
    channel.close().then(resolve, resolve);
  });
  await withDeadline(closed, ANSWER_MS, 'the server did not close a channel in time');
}

/**
 * Whether `send` could write to its channel. amqplib throws while the channel, or its connection, is being closed and
 * has not emitted 'close' yet. The server then takes back everything that was delivered on the channel, so there is
 * nothing left to send.
 */
export function sent(send: () => void): boolean {
  try {
    send();
    return true;
  } catch (error) {
    if (error instanceof IllegalOperationError) return false;
    throw error;
  }
}
