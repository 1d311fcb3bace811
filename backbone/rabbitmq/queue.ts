import type { ChannelModel } from 'amqplib';
import { Closed, explain, QueueFull, QueueUnavailable } from '../../core/errors.ts';
import { type ConnectionState, Watched } from '../../core/lifecycle.ts';
import { pause, withDeadline } from '../../core/timing.ts';
import { type Consumer, DEFAULT_QUEUE_LIMITS, type Handler, type Queue, type QueueLimits } from '../ports/queue.ts';
import { closeChannel, ignoreError } from './channel.ts';
import { type Declaration, declare } from './ensure-queue.ts';
import { ANSWER_MS, RabbitConnection, stateOf } from './link.ts';
import { ConfirmPublisher } from './publisher.ts';
import { RabbitConsumer } from './queue-consumer.ts';

/** A day. Handlers wait out an outage of the store, and one that lasts this long does not stay unnoticed. */
const CONSUMER_TIMEOUT_MS = 86_400_000;
const SECOND_LOOK_MS = 20;

export interface RabbitQueueOptions {
  readonly name?: string;
  readonly limits?: QueueLimits;
  readonly confirmTimeoutMs?: number;
  /** How long a queue is left alone, ms, when it had to be made. */
  readonly settleMs?: number;
}

/**
 * Opens the quorum queue `name` (`loam.readings`) of the RabbitMQ server at `url`, and makes it if there is none. Its
 * arguments are explained in `docs/rabbitmq.md`. Rejects with QueueUnavailable when the server cannot be reached or has
 * a queue of that name with other arguments.
 */
export async function openRabbitQueue(url: string, options: RabbitQueueOptions = {}): Promise<Queue> {
  const { name = 'loam.readings', limits = DEFAULT_QUEUE_LIMITS, confirmTimeoutMs = 10_000, settleMs } = options;
  const prepare = (connection: ChannelModel) =>
    declare(connection, quorumQueue(name, limits, versionOf(connection)), settleMs);
  let publisher: ConfirmPublisher | undefined;
  try {
    publisher = await ConfirmPublisher.open({
      url,
      name: `${name} (publishing)`,
      queue: name,
      prepare,
      confirmTimeoutMs,
      unavailable: (why, cause) => new QueueUnavailable(`the queue is not available: ${why}`, { cause }),
      refused: () => new QueueFull(`the queue ${name} is full`),
    });
    const consuming = await RabbitConnection.open(url, `${name} (consuming)`, prepare);
    return new RabbitQueue(name, publisher, consuming);
  } catch (cause) {
    await publisher?.close();
    throw new QueueUnavailable(`the queue is not available: ${explain(cause)}`, { cause });
  }
}

class RabbitQueue implements Queue {
  private readonly name: string;
  private readonly publisher: ConfirmPublisher;
  private readonly consuming: RabbitConnection;
  private readonly watched = new Watched();
  private readonly consumers = new Set<RabbitConsumer>();
  private closed: Promise<void> | undefined;

  constructor(name: string, publisher: ConfirmPublisher, consuming: RabbitConnection) {
    this.name = name;
    this.publisher = publisher;
    this.consuming = consuming;
    for (const link of [publisher.link, consuming]) {
      link.watch(() => this.watched.set(stateOf([publisher.link, consuming])));
    }
    this.watched.set(stateOf([publisher.link, consuming]));
  }

  get state(): ConnectionState {
    return this.watched.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.watched.watch(listener);
  }

  publish(body: Uint8Array): Promise<void> {
    return this.publisher.publish(body);
  }

  async consume(handler: Handler, options: { readonly prefetch: number }): Promise<Consumer> {
    const connection = this.connection();
    const consumer = new RabbitConsumer(this.consuming, this.name, handler, options.prefetch);
    try {
      await consumer.register(connection);
    } catch (cause) {
      await consumer.stop();
      throw new QueueUnavailable(`the queue is not available: ${explain(cause)}`, { cause });
    }
    this.consumers.add(consumer);
    return {
      restart: () => consumer.restart(),
      waiting: () => consumer.waiting(),
      stop: async () => {
        await consumer.stop();
        this.consumers.delete(consumer);
      },
    };
  }

  /**
   * Counts what waits on the server and what this process's own consumers hold. What consumers of other processes hold
   * cannot be asked for over AMQP: with several workers it is up to their prefetch too low.
   */
  async depth(): Promise<number> {
    const connection = this.connection();
    try {
      const depth = await this.look(connection);
      if (depth > 0 || this.consumers.size === 0) return depth;
      // A message on its way to one of our consumers is counted on neither side: 0 is returned only after a second
      // look.
      await pause(SECOND_LOOK_MS);
      return await this.look(connection);
    } catch (cause) {
      throw new QueueUnavailable(`the queue is not available: ${explain(cause)}`, { cause });
    }
  }

  private async look(connection: ChannelModel): Promise<number> {
    const before = this.held();
    const waiting = await withDeadline(messagesIn(connection, this.name), ANSWER_MS, 'no answer in time');
    // A message that was handed over meanwhile, either way, is counted twice rather than not at all.
    return waiting + Math.max(before, this.held());
  }

  private held(): number {
    return [...this.consumers].reduce((sum, consumer) => sum + consumer.unacknowledged, 0);
  }

  async drain(): Promise<void> {
    if (this.closed !== undefined) throw new Closed(this.name);
    await this.finish();
  }

  close(): Promise<void> {
    this.closed ??= this.end();
    return this.closed;
  }

  private async end(): Promise<void> {
    await this.finish();
    await this.publisher.close();
    await this.consuming.close();
  }

  private async finish(): Promise<void> {
    const stopping = [...this.consumers].map(async (consumer) => {
      await consumer.stop();
      this.consumers.delete(consumer);
    });
    await Promise.all([...stopping, this.publisher.settled()]);
  }

  private connection(): ChannelModel {
    if (this.closed !== undefined) throw new Closed(this.name);
    const { connection, state } = this.consuming;
    if (connection) return connection;
    throw new QueueUnavailable(`the queue is not available: ${state.is === 'down' ? state.why : 'no connection'}`);
  }
}

/** The arguments of the queue. Each is explained in `docs/rabbitmq.md`. */
function quorumQueue(name: string, limits: QueueLimits, version: Version): Declaration {
  return {
    name,
    arguments: {
      'x-queue-type': 'quorum',
      'x-max-length': limits.maxMessages,
      'x-max-length-bytes': limits.maxBytes,
      'x-overflow': 'reject-publish',
      // From 4.0 on a message is deleted at its 20th redelivery unless told otherwise. On 3.x there is no limit, and -1
      // would mean "at the first".
      ...(version.major >= 4 ? { 'x-delivery-limit': -1 } : {}),
      ...(version.major >= 4 || version.minor >= 12 ? { 'x-consumer-timeout': CONSUMER_TIMEOUT_MS } : {}),
    },
    optional: ['x-consumer-timeout'],
  };
}

interface Version {
  readonly major: number;
  readonly minor: number;
}

function versionOf(connection: ChannelModel): Version {
  const [major = 0, minor = 0] = connection.connection.serverProperties.version.split('.').map(Number);
  return { major, minor };
}

async function messagesIn(connection: ChannelModel, queue: string): Promise<number> {
  const channel = await connection.createChannel();
  channel.on('error', ignoreError);
  const { messageCount } = await channel.checkQueue(queue);
  await closeChannel(channel);
  return messageCount;
}
