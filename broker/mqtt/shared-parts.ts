import type { BrokerCounters } from '../counters.ts';
import type { MemoryBudget } from '../ingest/memory-budget.ts';
import type { BrokerLimits } from '../limits.ts';
import type { SocketFault } from './socket-fault.ts';

/** What a framed socket has of its broker. */
export interface SharedParts {
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  readonly budget: MemoryBudget;
  /** Whether the queue refuses at the moment. */
  readonly shut: () => boolean;
  /** Told why the client is closed, and over which packet, if it was a whole one. */
  readonly refused?: (why: SocketFault, packet?: Buffer) => void;
}
