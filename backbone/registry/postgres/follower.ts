import { clock } from '../../../core/clock.ts';
import { explain, RegistryInvalid } from '../../../core/errors.ts';
import type { ConnectionState } from '../../../core/lifecycle.ts';
import type { Logger } from '../../../core/logger.ts';
import { backoff, pause } from '../../../core/timing.ts';
import type { PostgresAddress } from './address.ts';
import type { RegistryCopy } from './copy.ts';
import { CHANNEL } from './schema.ts';
import { PostgresSession } from './session.ts';

/** A notification may be lost; a look costs the server next to nothing. An edit is known everywhere within a second. */
const LOOK_MS = 500;
/** What this Loam does not understand is read anew after so long: it takes time, and seldom helps. */
const UNREADABLE_MS = 30_000;

/**
 * Follows the changes, and makes the connection again whenever it breaks:
 *
 * following (woken by NOTIFY, and by the clock) → broken, late, or not understood → pause (full jitter) → connecting → …
 *
 * Meanwhile the copy stays as it is.
 */
export class ChangeFollower {
  private now: ConnectionState = { is: 'up' };
  private readonly address: PostgresAddress;
  private readonly copy: RegistryCopy;
  private readonly log: Logger;
  private readonly closing = new AbortController();
  private session: PostgresSession | undefined;
  private isWoken = false;
  private wakeUp = (): void => {};
  private failures = 0;

  constructor(address: PostgresAddress, copy: RegistryCopy, log: Logger) {
    this.address = address;
    this.copy = copy;
    this.log = log;
  }

  get state(): ConnectionState {
    return this.now;
  }

  /** Begins to follow, over the connection that the copy was read with. */
  begin(session: PostgresSession): void {
    void this.run(session);
  }

  /** Makes it look now. */
  wake(): void {
    this.isWoken = true;
    this.wakeUp();
  }

  close(): void {
    this.closing.abort();
    this.session?.close();
    this.wake();
    this.now = { is: 'closed' };
  }

  private get isClosed(): boolean {
    return this.closing.signal.aborted;
  }

  private async run(first: PostgresSession): Promise<void> {
    this.session = first;
    while (!this.isClosed) {
      try {
        this.session ??= await this.connect();
        await this.followOver(this.session);
      } catch (error) {
        await this.rest(error);
      }
    }
  }

  private async connect(): Promise<PostgresSession> {
    const { session } = await PostgresSession.open(this.address, true);
    if (this.isClosed) session.close();
    return session;
  }

  private async followOver(session: PostgresSession): Promise<void> {
    await session.listen(CHANNEL, () => this.wake());
    while (!this.isClosed) {
      await this.copy.alone(() => this.catchUp(session));
      this.isFollowing();
      await this.nextLook();
    }
  }

  private async catchUp(session: PostgresSession): Promise<void> {
    try {
      if (await this.copy.follow(session)) return;
      this.log.warn(
        { event: 'registry_replaced' },
        `${this.address.shown}: the registry is another one: it is read anew`,
      );
    } catch (error) {
      if (!(error instanceof RegistryInvalid)) throw error;
      // As a whole it may be understood all the same: when what is wrong in an edit was mended by the next.
    }
    await this.copy.readAnew(session);
  }

  private isFollowing(): void {
    this.failures = 0;
    if (this.now.is === 'down') this.log.info({ event: 'registry_back' }, `${this.address.shown}: is followed again`);
    if (!this.isClosed) this.now = { is: 'up' };
  }

  private async nextLook(): Promise<void> {
    if (!this.isWoken) {
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, LOOK_MS);
        this.wakeUp = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    this.isWoken = false;
  }

  private async rest(error: unknown): Promise<void> {
    this.session?.close();
    this.session = undefined;
    if (this.isClosed) return;
    const why = `${this.address.shown}: ${explain(error)}; work goes on with the registry as it was`;
    if (this.now.is === 'up') this.log.error({ event: 'registry_away' }, why);
    this.now = { is: 'down', since: this.now.is === 'down' ? this.now.since : clock.now(), why };
    const isUnreadable = error instanceof RegistryInvalid;
    await pause(isUnreadable ? UNREADABLE_MS : backoff(this.failures++), this.closing.signal);
  }
}
