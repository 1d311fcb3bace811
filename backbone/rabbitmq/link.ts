import { type ChannelModel, connect, type SocketOptions } from 'amqplib';
import { clock } from '../../core/clock.ts';
import { explain } from '../../core/errors.ts';
import { type ConnectionState, Watched } from '../../core/lifecycle.ts';
import { backoff, pause, withDeadline } from '../../core/timing.ts';
import { refusal } from './refusal.ts';

/** How long the server may take for one step: to take a connection, to open a channel, to answer a declaration. */
export const ANSWER_MS = 10_000;
const CLOSE_MS = 2_000;
const HEARTBEAT_SECONDS = 10;
// A connection that lasted this long was a good one: after it the next reconnect begins without delay again.
const STEADY_MS = 5_000;
/**
 * The pause before a deleted queue is made again. The server (3.10.8) tells consumers about the deletion a moment
 * later. A new queue of the same name that is made before that gets the old consumers, and its messages get stuck with
 * them.
 */
export const DELETED_REST_MS = 1_000;

/** Why a connection is given up when the server has closed one of its channels. */
export const CHANNEL_ENDED = 'the server closed a channel';

/** Prepares a fresh connection; while it runs, the connection is not up. When it rejects, the connection is given up. */
export type Setup = (connection: ChannelModel) => Promise<void>;

/**
 * One connection to RabbitMQ, made again whenever it breaks.
 *
 * connecting → up ⇄ blocked (the server is low on memory or disk and takes no messages)
 *     ↑         │ broken, two heartbeats missed, `reset`, or its setup failed
 *     └─ pause ─┘ (full jitter)                                                    any → closed, for good
 *
 * Everything on a connection (channels, consumers, unconfirmed publishes) ends with it. There is one way to restore
 * these, whatever went wrong: `setup` runs on every new connection, and after it watchers get the state `up`. So
 * `reset` is also the answer to a channel that the server closed and to a queue that a person deleted.
 */
export class RabbitConnection {
  private readonly url: string;
  private readonly name: string;
  private readonly setup: Setup;
  private readonly watched = new Watched();
  private readonly closing = new AbortController();
  private now: ChannelModel | undefined;
  // Destroys the socket of the newest attempt: a peer that went silent would keep it half open for minutes.
  private socket = new AbortController();
  private upSince = 0;
  private failures = 0;
  private resetBy: unknown;
  private restMs = 0;

  private constructor(url: string, name: string, setup: Setup) {
    this.url = withHeartbeat(url);
    this.name = name;
    this.setup = setup;
  }

  /** Resolves when the connection is up; rejects with what prevented the first attempt. */
  static async open(url: string, name: string, setup: Setup): Promise<RabbitConnection> {
    const link = new RabbitConnection(url, name, setup);
    await link.connect();
    return link;
  }

  /** The connection while there is one (also while it is blocked). */
  get connection(): ChannelModel | undefined {
    return this.now;
  }

  get state(): ConnectionState {
    return this.watched.state;
  }

  watch(listener: (state: ConnectionState) => void): () => void {
    return this.watched.watch(listener);
  }

  /** Gives up the connection `connection`, if it is still the current one, and makes a new one after `restMs` at the earliest. */
  reset(connection: ChannelModel, why: unknown, restMs = 0): void {
    if (connection !== this.now) return;
    this.restMs = Math.max(this.restMs, restMs);
    // The connection is being closed already: a second close would cut off the frames that it still has to send.
    if (this.resetBy !== undefined) return;
    this.resetBy = why ?? 'it was given up';
    void closeQuietly(connection, this.socket);
  }

  async close(): Promise<void> {
    this.closing.abort();
    if (this.now) await closeQuietly(this.now, this.socket);
    else this.socket.abort();
    this.watched.set({ is: 'closed' });
  }

  private async connect(): Promise<void> {
    const socket = new AbortController();
    this.socket = socket;
    const options: SocketOptions & { signal: AbortSignal } = {
      // Nagle's algorithm and delayed acknowledgements would cost 40 ms a round.
      noDelay: true,
      timeout: ANSWER_MS,
      clientProperties: { connection_name: this.name },
      signal: socket.signal,
    };
    const connection = await connect(this.url, options).catch((error: unknown) => {
      throw refusal(error, this.url);
    });
    const life: { over?: true; error?: unknown } = {};
    connection.on('error', (error) => {
      life.error = error;
    });
    // A call that waits for an answer may wait for ever when the connection breaks: this promise ends the wait.
    const broken = new Promise<never>((_, reject) => {
      connection.once('close', (error) => reject(life.error ?? error ?? new Error('the connection was closed')));
    });
    broken.catch(ignoreBroken);
    connection.on('close', (error) => {
      life.over = true;
      life.error ??= error;
      // Not at once: the last frames of an orderly close are still to be written.
      setImmediate(() => socket.abort());
      this.lost(connection, life.error);
    });
    connection.on('blocked', (reason) => this.down(`the server takes no messages: ${reason}`));
    connection.on('unblocked', () => this.watched.set({ is: 'up' }));
    try {
      const ready = Promise.race([this.setup(connection), broken]);
      await withDeadline(ready, ANSWER_MS, 'the server did not answer in time');
      if (life.over) throw life.error;
      if (this.closing.signal.aborted) throw new Error('closed while connecting');
    } catch (error) {
      await closeQuietly(connection, socket);
      throw error;
    }
    this.now = connection;
    this.upSince = clock.passed();
    this.watched.set({ is: 'up' });
  }

  private lost(connection: ChannelModel, error: unknown): void {
    if (connection !== this.now) return;
    this.now = undefined;
    if (clock.passed() - this.upSince > STEADY_MS) this.failures = 0;
    // With a connection that the server ends its channels end first.
    const why = this.resetBy === CHANNEL_ENDED ? (error ?? this.resetBy) : (this.resetBy ?? error);
    this.resetBy = undefined;
    if (this.closing.signal.aborted) return;
    this.down(why === undefined ? 'the connection was closed' : explain(why));
    void this.reconnect();
  }

  private async reconnect(): Promise<void> {
    await pause(this.restMs, this.closing.signal);
    this.restMs = 0;
    while (!this.closing.signal.aborted) {
      await pause(backoff(this.failures++), this.closing.signal);
      if (this.closing.signal.aborted) return;
      try {
        await this.connect();
        return;
      } catch (error) {
        this.down(explain(error));
      }
    }
  }

  private down(why: string): void {
    if (!this.closing.signal.aborted) this.watched.set({ is: 'down', since: clock.now(), why });
  }
}

/** Closes a connection, in good order when the server answers soon, and by force otherwise. */
async function closeQuietly(connection: ChannelModel, socket: AbortController): Promise<void> {
  try {
    await withDeadline(connection.close(), CLOSE_MS, 'closing took too long');
  } catch {
    // The connection is broken, or the server does not answer. Its 'close' event follows.
    socket.abort();
  }
}

// `lost` acts on a broken connection; the promise `broken` only ends the setup.
function ignoreBroken(): void {}

function withHeartbeat(url: string): string {
  const parts = new URL(url);
  if (!parts.searchParams.has('heartbeat')) parts.searchParams.set('heartbeat', String(HEARTBEAT_SECONDS));
  return parts.toString();
}

/** The state of something that needs all of `links`: closed if one is, else down if one is, else up. */
export function stateOf(links: readonly RabbitConnection[]): ConnectionState {
  const states = links.map((link) => link.state);
  return (
    states.find((state) => state.is === 'closed') ??
    states.find((state) => state.is === 'down') ?? { is: 'up' as const }
  );
}
