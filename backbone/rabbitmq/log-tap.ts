import type { Channel, ChannelModel, ConsumeMessage, Options } from 'amqplib';
import { withDeadline } from '../../core/timing.ts';
import { closeChannel, ignoreError } from './channel.ts';
import { ANSWER_MS } from './link.ts';

/** Most entries that the server sends before it wants an acknowledgement. */
export const PREFETCH = 500;

/** One entry of the stream, claims included. */
export interface RawEntry {
  readonly offset: number;
  readonly body: Uint8Array;
  /** The epoch that its writer knew; undefined when something other than Loam wrote the entry. */
  readonly epoch: string | undefined;
  /** An entry of the log's own, that no user wrote: it claims its epoch for a new stream. */
  readonly claim: boolean;
}

const CLAIM = 'loam.epoch';

/** The properties of a user's entry: every entry carries the epoch, so that any kept one tells it. */
export function stamped(epoch: string): Options.Publish {
  return { correlationId: epoch };
}

/** The properties of an entry that claims `epoch` for a new stream. */
export function claiming(epoch: string): Options.Publish {
  return { correlationId: epoch, type: CLAIM };
}

/** A stream's entries from some point on, taken in the order of their offsets, on a channel of their own. */
export class Tap {
  private readonly channel: Channel;
  private arrived: RawEntry[] = [];
  private newest: ConsumeMessage | undefined;
  private wake: (() => void) | undefined;
  private broken: Error | undefined;

  private constructor(channel: Channel) {
    this.channel = channel;
    channel.on('error', ignoreError);
    channel.on('close', () => this.break('the channel was closed'));
  }

  /** Resolves when the server has accepted the consumer. `from` is an offset, or the stream's first or last chunk. */
  static async open(connection: ChannelModel, stream: string, from: 'first' | 'last' | number): Promise<Tap> {
    const tap = new Tap(await withDeadline(connection.createChannel(), ANSWER_MS, 'the server opened no channel'));
    await tap.sync();
    const consuming = tap.channel.consume(stream, (message) => tap.take(message), {
      arguments: { 'x-stream-offset': from },
    });
    await withDeadline(consuming, ANSWER_MS, 'the server did not answer in time');
    return tap;
  }

  /**
   * What has arrived since the last call. Waits for an entry, at most `ms`, and then gives none. Rejects when the
   * channel is gone.
   */
  async next(ms?: number): Promise<RawEntry[]> {
    if (this.arrived.length === 0 && !this.broken) await this.arrival(ms);
    if (this.arrived.length === 0 && this.broken) throw this.broken;
    return this.takeArrived();
  }

  takeArrived(): RawEntry[] {
    return this.arrived.splice(0);
  }

  /** Acknowledges everything that has arrived, so that the server sends more. */
  acknowledge(): void {
    if (this.newest && !this.broken) this.channel.ack(this.newest, true);
    this.newest = undefined;
  }

  /** Resolves when all that the server had sent on this channel has arrived: its answer comes after that. */
  async sync(): Promise<void> {
    await withDeadline(this.channel.prefetch(PREFETCH), ANSWER_MS, 'the server did not answer in time');
  }

  async close(): Promise<void> {
    if (this.broken) return;
    this.break('closed');
    try {
      await closeChannel(this.channel);
    } catch {
      // It ends with its connection at the latest.
    }
  }

  private arrival(ms: number | undefined): Promise<void> {
    return new Promise((resolve) => {
      const timer = ms === undefined ? undefined : setTimeout(() => this.wake?.(), ms);
      this.wake = () => {
        clearTimeout(timer);
        this.wake = undefined;
        resolve();
      };
    });
  }

  private take(message: ConsumeMessage | null): void {
    if (!message) {
      this.break('the stream was deleted');
      return;
    }
    this.newest = message;
    this.arrived.push(rawEntry(message));
    this.wake?.();
  }

  private break(why: string): void {
    this.broken ??= new Error(why);
    this.wake?.();
  }
}

function rawEntry({ content, properties }: ConsumeMessage): RawEntry {
  const offset: unknown = properties.headers?.['x-stream-offset'];
  const epoch: unknown = properties.correlationId;
  return {
    offset: Number(offset),
    body: content,
    epoch: typeof epoch === 'string' ? epoch : undefined,
    claim: properties.type === CLAIM,
  };
}
