import type { BatchEntrance } from '../backbone/account/batch-entrance.ts';
import type { RefusalNote } from '../backbone/events/refusal-book.ts';
import type { Log } from '../backbone/ports/log.ts';
import type { Queue } from '../backbone/ports/queue.ts';
import type { Logger } from '../core/logger.ts';
import type { Metrics } from '../core/metrics.ts';
import type { SecretKeys } from '../core/secret-key.ts';
import type { RegistryView } from '../telemetry/registry/registry.ts';
import type { OnRefused } from './ingest/publishing.ts';
import type { Receipts } from './ingest/receipts.ts';
import type { BrokerLimits } from './limits.ts';
import type { MqttListenersOptions } from './listeners/mqtt-listeners.ts';

/** What a broker is made with. */
export interface BrokerOptions extends MqttListenersOptions {
  readonly queue: Queue;
  readonly registry: RegistryView;
  readonly log: Logger;
  /** Tells the keys of LOAM_SECRET_KEY. Absent, or while there is none: no token lets anybody in. */
  readonly secretKeys?: () => SecretKeys | undefined;
  readonly limits?: Partial<BrokerLimits>;
  /** Where refused publishes are kept, unless `onRefused` does something else with them. */
  readonly dead?: Log;
  readonly onRefused?: OnRefused;
  /** Told of each client that is refused, and of each connection that another one took over. Must not throw. */
  readonly refused?: (refusal: RefusalNote) => void;
  /** Where refused publishes are counted, by reason. */
  readonly metrics?: Metrics;
  /** Gives the times of receipt, shared by all parts of a process that take publishes. Absent: the broker makes its own. */
  readonly receipts?: Receipts;
  /** Numbers its batches, and says so. Absent: they are numbered, and nobody is told. */
  readonly entrance?: BatchEntrance;
}
