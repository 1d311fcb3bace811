import { clock } from '../../core/clock.ts';
import { TokenBucket, type TokenRate } from '../../core/token-bucket.ts';
import type { BrokerCounters } from '../counters.ts';

/**
 * How many packets of one connection that are no publishes are read: PINGREQ, SUBSCRIBE, UNSUBSCRIBE and PUBACK. A bridge
 * with thousands of subscriptions may send one SUBSCRIBE for each when it connects; a client needs a ping a minute.
 */
const CONTROLS: TokenRate = { perSecond: 100, burst: 3_000 };

/** A slowed connection is read in lots: each look at its packets has a price of its own. */
const SHORTEST_MS = 100;

/** One connection's rate of packets that are no publishes. Above it the connection is not read for a while; others are. */
export class ControlPace {
  private readonly goOn: () => void;
  private readonly counters: BrokerCounters;
  private readonly bucket = new TokenBucket(CONTROLS, clock.passed());
  private timer: NodeJS.Timeout | undefined;

  /** `goOn` is called when a connection that was slowed down may be read again. */
  constructor(goOn: () => void, counters: BrokerCounters) {
    this.goOn = goOn;
    this.counters = counters;
  }

  /** Counts one packet. False, and not counted, when it has to wait: `goOn` is called when it may be read. */
  tryTake(): boolean {
    if (this.timer) return false;
    const waitMs = this.bucket.waitMs(clock.passed());
    if (waitMs === 0) {
      this.bucket.take(1);
      return true;
    }
    this.counters.slowedControl += 1;
    this.timer = setTimeout(
      () => {
        this.timer = undefined;
        this.goOn();
      },
      Math.max(waitMs, SHORTEST_MS),
    );
    return false;
  }

  stop(): void {
    clearTimeout(this.timer);
  }
}
