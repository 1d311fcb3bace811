import type { Channel, ChannelModel, ConsumeMessage } from 'amqplib';
import type { ConnectionState } from '../../core/lifecycle.ts';
import { backoff, pause, withDeadline } from '../../core/timing.ts';
import type { Consumer, Handler } from '../ports/queue.ts';
import { closeChannel, sent } from './channel.ts';
import { exists } from './ensure-queue.ts';
import { ANSWER_MS, CHANNEL_ENDED, DELETED_REST_MS, type RabbitConnection } from './link.ts';

/** The channel on which messages come, and the consumer's tag on it. */
interface ConsumerChannel {
  readonly channel: Channel;
  readonly tag: string;
}

interface Job {
  readonly channel: Channel;
  readonly message: ConsumeMessage;
}

/**
 * A consumer that outlives connections.
 *
 * registered ⇄ waiting for a connection → stopping (nothing begins any more, handlers at work end) → stopped
 *
 * When a connection breaks, the server gives its unacknowledged messages to others (or to us) again, while our handlers
 * for them are still at work: they finish, and their acknowledgements are dropped. They keep counting towards
 * `prefetch`: so the number of handlers stays bounded when the connection breaks often during an outage of the store. A
 * message that comes meanwhile waits until a handler has ended.
 */
export class RabbitConsumer implements Consumer {
  private readonly link: RabbitConnection;
  private readonly queue: string;
  private readonly handler: Handler;
  private readonly prefetch: number;
  private readonly stopping = new AbortController();
  private readonly unwatch: () => void;
  private readonly open = new Set<Channel>();
  private session: ConsumerChannel | undefined;
  private notBegun: Job[] = [];
  private readonly atWork = new Set<Promise<void>>();
  private readonly held = new Set<ConsumeMessage>();
  private stopped: Promise<void> | undefined;

  constructor(link: RabbitConnection, queue: string, handler: Handler, prefetch: number) {
    this.link = link;
    this.queue = queue;
    this.handler = handler;
    this.prefetch = prefetch;
    this.unwatch = link.watch((state) => this.linkChanged(state));
  }

  /** How many messages the server has given us that were not acknowledged yet. */
  get unacknowledged(): number {
    return this.held.size;
  }

  /** Resolves when the server gives us messages. */
  async register(connection: ChannelModel): Promise<void> {
    const channel = await withDeadline(connection.createChannel(), ANSWER_MS, 'the server opened no channel in time');
    this.open.add(channel);
    let why: unknown = CHANNEL_ENDED;
    channel.on('error', (error) => {
      why = error;
    });
    channel.on('close', () => {
      this.over(channel);
      // If we are not stopping, the server closed it: a handler was too slow (consumer_timeout), or the queue is gone.
      if (!this.stopping.signal.aborted) this.link.reset(connection, why);
    });
    const deliver = (message: ConsumeMessage | null) => {
      if (message) this.take({ channel, message });
      else void this.cancelled(connection);
    };
    await withDeadline(channel.prefetch(this.prefetch), ANSWER_MS, 'the server did not answer in time');
    const { consumerTag } = await withDeadline(
      channel.consume(this.queue, deliver),
      ANSWER_MS,
      'the server did not answer in time',
    );
    this.session = { channel, tag: consumerTag };
  }

  stop(): Promise<void> {
    this.stopped ??= this.end();
    return this.stopped;
  }

  restart(): void {
    const { connection } = this.link;
    if (connection) this.link.reset(connection, 'its consumer stood still');
  }

  *waiting(): Iterable<Uint8Array> {
    for (const { message } of this.notBegun) yield message.content;
  }

  private async end(): Promise<void> {
    this.unwatch();
    this.stopping.abort();
    this.notBegun = [];
    const { session } = this;
    try {
      // So that the server gives nothing more while the handlers at work end.
      if (session) await withDeadline(session.channel.cancel(session.tag), ANSWER_MS, 'not cancelled in time');
    } catch {
      // The channel is gone, or the server does not answer. Messages that still come on it are not begun.
    }
    while (this.atWork.size > 0) await Promise.all(this.atWork);
    try {
      // Gives back what was not begun.
      if (session && this.open.has(session.channel)) await closeChannel(session.channel);
    } catch {
      // It ends with its connection at the latest.
    }
    this.held.clear();
  }

  private linkChanged(state: ConnectionState): void {
    const { connection } = this.link;
    if (state.is !== 'up' || !connection) return;
    this.register(connection).catch((error: unknown) => this.link.reset(connection, error));
  }

  /** The server gives no reason why it ends consuming. From 4.3 on it does so where older ones close the channel. */
  private async cancelled(connection: ChannelModel): Promise<void> {
    const isThere = await withDeadline(exists(connection, this.queue), ANSWER_MS, 'no answer in time').catch(
      () => true,
    );
    const why = isThere ? 'a message was held for longer than its consumer_timeout' : `"${this.queue}" was deleted`;
    this.link.reset(connection, `the server ended consuming: ${why}`, DELETED_REST_MS);
  }

  private over(channel: Channel): void {
    this.open.delete(channel);
    if (this.session?.channel === channel) this.session = undefined;
    this.notBegun = this.notBegun.filter((job) => job.channel !== channel);
    this.held.clear();
  }

  private take(job: Job): void {
    if (this.stopping.signal.aborted) return;
    this.held.add(job.message);
    this.notBegun.push(job);
    this.begin();
  }

  private begin(): void {
    while (this.atWork.size < this.prefetch) {
      const job = this.notBegun.shift();
      if (!job) return;
      const work = this.work(job).finally(() => {
        this.atWork.delete(work);
        this.begin();
      });
      this.atWork.add(work);
    }
  }

  /**
   * Resolves when the server has the message back: until then it counts as held, so that `depth` never overlooks it.
   * Uses `reject`, not `nack`: from RabbitMQ 4.3 on only `reject` and a lost connection raise the count from which
   * `attempt` is made.
   */
  private async giveBack(channel: Channel, message: ConsumeMessage): Promise<void> {
    if (!sent(() => channel.reject(message, true))) return;
    try {
      await withDeadline(channel.prefetch(this.prefetch), ANSWER_MS, 'no answer in time');
    } catch {
      // The channel is gone, and the server has everything back that was on it.
    }
  }

  private async work({ channel, message }: Job): Promise<void> {
    const attempt = attemptOf(message);
    let done = true;
    try {
      await this.handler({ body: message.content, attempt });
    } catch {
      // Handlers report their own errors; here a rejection says no more than "not done".
      done = false;
      await pause(pauseBefore(attempt + 1), this.stopping.signal);
    }
    if (!done && this.open.has(channel)) await this.giveBack(channel, message);
    this.held.delete(message);
    if (done && this.open.has(channel)) sent(() => channel.ack(message));
  }
}

// Quorum queues count the deliveries that were not acknowledged; the header is absent at the first.
function attemptOf(message: ConsumeMessage): number {
  const count: unknown = message.properties.headers?.['x-delivery-count'];
  return 1 + (typeof count === 'number' ? count : 0);
}

function pauseBefore(attempt: number): number {
  return 25 + backoff(attempt - 2, 50, 5_000);
}
