import type { ChannelModel, ConfirmChannel, Options } from 'amqplib';
import { Closed, type LoamError } from '../../core/errors.ts';
import type { ConnectionState } from '../../core/lifecycle.ts';
import { sent } from './channel.ts';
import { CHANNEL_ENDED, DELETED_REST_MS, RabbitConnection } from './link.ts';

/** Most messages and bytes on their way to the server and not confirmed yet. */
const MOST_UNCONFIRMED = 10_000;
const MOST_UNCONFIRMED_BYTES = 64 * 1024 ** 2;
/** As many again may wait until they are sent. Above that a publish is refused at once. */
const MOST_WAITING = 10_000;
const MOST_WAITING_BYTES = 64 * 1024 ** 2;

export interface PublisherOptions {
  readonly url: string;
  readonly name: string;
  readonly queue: string;
  /** Declares the queue. */
  readonly prepare: (connection: ChannelModel) => Promise<void>;
  readonly confirmTimeoutMs: number;
  /** The error for a message that was not sent, or that the server may or may not have kept. */
  readonly unavailable: (why: string, cause?: unknown) => LoamError;
  /** The error for a message that the server refused. */
  readonly refused: () => LoamError;
}

interface PendingPublish {
  readonly body: Buffer;
  readonly properties: Options.Publish;
  readonly resolve: () => void;
  readonly reject: (error: LoamError) => void;
  /** The time limit, while the caller waits for an answer. */
  timer: NodeJS.Timeout | undefined;
  unroutable: boolean;
}

/**
 * Publishes to one queue with confirms, on a connection of its own: a server that is low on memory blocks connections
 * that publish, and consuming has to go on.
 *
 * A message waits (in order, for the limits above and for room in the connection's write buffer) and is sent. It is
 * settled by the server's confirm, by its time limit, or by the end of the connection. A message that ran into its time
 * limit still counts as unconfirmed until the server answers or the connection ends, so that the limits hold.
 */
export class ConfirmPublisher {
  private readonly options: PublisherOptions;
  private readonly waiting: PendingPublish[] = [];
  private waitingBytes = 0;
  private readonly unconfirmed = new Map<string, PendingPublish>();
  private unconfirmedBytes = 0;
  private channel: ConfirmChannel | undefined;
  private writeBufferFull = false;
  private sequence = 0;
  private atWork = 0;
  private idle: (() => void)[] = [];
  private closing = false;
  private opened: RabbitConnection | undefined;

  private constructor(options: PublisherOptions) {
    this.options = options;
  }

  /** Resolves when the queue is declared and messages are taken; rejects with what prevented it. */
  static async open(options: PublisherOptions): Promise<ConfirmPublisher> {
    const publisher = new ConfirmPublisher(options);
    publisher.opened = await RabbitConnection.open(options.url, options.name, (connection) =>
      publisher.prepare(connection),
    );
    return publisher;
  }

  get link(): RabbitConnection {
    if (!this.opened) throw new Error('not open');
    return this.opened;
  }

  /** Resolves when the server has confirmed; rejects with the options' errors within the confirm time limit, or with Closed. */
  publish(body: Uint8Array, properties: Options.Publish = {}): Promise<void> {
    const refusalReason = this.refusalReason(this.link.state, body.length);
    if (refusalReason) return Promise.reject(refusalReason);
    return new Promise((resolve, reject) => {
      const message: PendingPublish = {
        body: Buffer.from(body.buffer, body.byteOffset, body.byteLength),
        properties,
        resolve,
        reject,
        timer: undefined,
        unroutable: false,
      };
      const { confirmTimeoutMs } = this.options;
      message.timer = setTimeout(() => {
        this.settle(message, this.options.unavailable(`the server did not confirm within ${confirmTimeoutMs} ms`));
      }, confirmTimeoutMs);
      this.atWork++;
      this.waiting.push(message);
      this.waitingBytes += body.length;
      this.send();
    });
  }

  /** Resolves when every publish begun so far is settled. */
  settled(): Promise<void> {
    if (this.atWork === 0) return Promise.resolve();
    return new Promise((resolve) => this.idle.push(resolve));
  }

  /** Takes no more messages, waits for those under way, and closes the connection. */
  async close(): Promise<void> {
    this.closing = true;
    await this.settled();
    await this.link.close();
  }

  private refusalReason(state: ConnectionState, bytes: number): LoamError | undefined {
    if (this.closing || state.is === 'closed') return new Closed(this.options.name);
    if (state.is === 'down') return this.options.unavailable(state.why);
    if (this.waiting.length >= MOST_WAITING || this.waitingBytes + bytes > MOST_WAITING_BYTES) {
      return this.options.unavailable('too many messages wait for the server');
    }
    return undefined;
  }

  private async prepare(connection: ChannelModel): Promise<void> {
    await this.options.prepare(connection);
    const channel = await connection.createConfirmChannel();
    let why: unknown = CHANNEL_ENDED;
    channel.on('error', (error) => {
      why = error;
    });
    // Before amqplib's own listener, which fails every unconfirmed publish: by `this.channel`, `answered` sees that
    // these are no nacks.
    channel.prependListener('close', () => {
      this.channel = undefined;
    });
    channel.on('close', () => {
      this.rejectWaiting();
      this.opened?.reset(connection, why);
    });
    // The server first returns an unroutable message and then confirms it, as if it had been kept.
    channel.on('return', (message) => {
      const returned = this.unconfirmed.get(String(message.properties.messageId));
      if (returned) returned.unroutable = true;
      this.opened?.reset(connection, `"${this.options.queue}" is gone`, DELETED_REST_MS);
    });
    channel.on('drain', () => {
      this.writeBufferFull = false;
      this.send();
    });
    this.writeBufferFull = false;
    this.channel = channel;
  }

  private transmit(channel: ConfirmChannel, message: PendingPublish): void {
    const id = String(this.sequence++);
    const properties = { ...message.properties, messageId: id, mandatory: true, persistent: true };
    const wasSent = sent(() => {
      const room = channel.publish('', this.options.queue, message.body, properties, (error: unknown) => {
        this.unconfirmed.delete(id);
        this.unconfirmedBytes -= message.body.length;
        this.answered(message, error, this.channel !== channel);
      });
      if (!room) this.writeBufferFull = true;
    });
    if (wasSent) {
      this.unconfirmed.set(id, message);
      this.unconfirmedBytes += message.body.length;
    } else {
      // The server will not answer this message, so it must not count as unconfirmed.
      this.settle(message, this.options.unavailable('the connection is being made anew'));
    }
  }

  private send(): void {
    while (this.channel && !this.writeBufferFull && this.unconfirmed.size < MOST_UNCONFIRMED) {
      if (this.unconfirmedBytes >= MOST_UNCONFIRMED_BYTES) return;
      const message = this.waiting.shift();
      if (!message) return;
      this.waitingBytes -= message.body.length;
      // A message that ran into its time limit is not sent: its caller has the error already.
      if (message.timer !== undefined) this.transmit(this.channel, message);
    }
  }

  private answered(message: PendingPublish, error: unknown, over: boolean): void {
    const { unavailable, refused } = this.options;
    if (message.unroutable) this.settle(message, unavailable('the server has no such queue'));
    else if (!error) this.settle(message);
    else if (over) this.settle(message, unavailable('the connection broke before the server confirmed', error));
    else this.settle(message, refused());
    this.send();
  }

  private rejectWaiting(): void {
    for (const message of this.waiting.splice(0))
      this.settle(message, this.options.unavailable('the connection broke'));
    this.waitingBytes = 0;
  }

  private settle(message: PendingPublish, error?: LoamError): void {
    if (message.timer === undefined) return;
    clearTimeout(message.timer);
    message.timer = undefined;
    if (error) message.reject(error);
    else message.resolve();
    if (--this.atWork === 0) for (const resolve of this.idle.splice(0)) resolve();
  }
}
