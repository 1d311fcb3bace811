import { type Channel, IllegalOperationError } from 'amqplib';
import { withDeadline } from '../../core/timing.ts';
import { ANSWER_MS } from './link.ts';

/** For a channel's 'error' event: the 'close' event or the rejection that comes with it is what is acted on. */
export function ignoreError(): void {}

/**
 * Resolves when the channel is closed, by us or by the end of its connection, and rejects when the server is mute.
 * amqplib's own promise never settles when the connection breaks before the server has answered.
 */
export async function closeChannel(channel: Channel): Promise<void> {
  const closed = new Promise<void>((resolve) => {
    channel.once('close', resolve);
    // It rejects when the channel is closed already.
    channel.close().then(resolve, resolve);
  });
  await withDeadline(closed, ANSWER_MS, 'the server did not close a channel in time');
}

/**
 * Whether `send` could write to its channel. amqplib throws while the channel, or its connection, is being closed and nobody was told yet:
 * then the server has, or will have, everything back that was on it, and there is nothing left to say to it.
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
