import { openDescriptors } from '../../core/descriptors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Listening } from './listen.ts';

/** What HTTP may use of the descriptors of a process. */
export interface ConnectionShare {
  /** Most connections, silent ones included. */
  readonly most: number;
  /** How many descriptors others use, as far as they count for somebody else. */
  readonly others: () => number;
}

export interface ConnectionBudgetOptions extends ConnectionShare {
  readonly listen: () => Promise<Listening>;
  readonly log: Logger;
}

const LOOK_MS = 20;
/** It listens again when it has less than this of its share. */
const AGAIN = 0.75;

/**
 * Keeps HTTP connections within their share of the process's descriptors. uWebSockets.js does not tell of connections
 * before their first request, and takes as many as come: when no descriptor is left for MQTT, it asks for more without
 * end. So what is open is counted from outside, and above the share nothing is listened to until there is room again.
 * Silent connections end after about ten seconds. Those that are open, WebSockets above all, stay.
 *
 * A front of our own before uWebSockets.js would know every connection, but costs three descriptors and a copy of each
 * byte for every viewer.
 */
export class ConnectionBudget {
  private readonly options: ConnectionBudgetOptions;
  private listening: Listening | undefined;
  private timer: NodeJS.Timeout | undefined;
  private own = 0;
  private busy = false;
  private stopped = false;
  private times = 0;

  constructor(options: ConnectionBudgetOptions) {
    this.options = options;
  }

  /** How many times it stopped listening because HTTP had its whole share. */
  get timesShut(): number {
    return this.times;
  }

  /** Whether it does not listen now. */
  get isShut(): boolean {
    return this.timer !== undefined && this.listening === undefined;
  }

  /** Begins to count; `listening` is what it may close. */
  start(listening: Listening): void {
    this.listening = listening;
    this.own = openDescriptors() - this.options.others();
    this.timer = setInterval(() => void this.look(), LOOK_MS).unref();
  }

  stop(): void {
    this.stopped = true;
    clearInterval(this.timer);
    this.timer = undefined;
    this.listening?.close();
    this.listening = undefined;
  }

  /** Never rejects. */
  private async look(): Promise<void> {
    if (this.busy) return;
    const { most, others, log } = this.options;
    const used = openDescriptors() - this.own - others();
    if (this.listening && used > most) {
      this.listening.close();
      this.listening = undefined;
      this.times += 1;
      log.warn({ event: 'http_connections_full', most }, 'HTTP has all its connections: no more are taken for a while');
    } else if (!this.listening && used < most * AGAIN) await this.listenAgain();
  }

  private async listenAgain(): Promise<void> {
    this.busy = true;
    try {
      const again = await this.options.listen();
      if (this.stopped) again.close();
      else this.listening = again;
    } catch {
      // Somebody else has the port, or no descriptor is left: the next look tries again.
    } finally {
      this.busy = false;
    }
  }
}
