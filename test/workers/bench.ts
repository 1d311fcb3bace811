import { Writable } from 'node:stream';
import pino from 'pino';
import { DEAD_LOG_LIMITS, ISOLATION_LOG_LIMITS, LIVE_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Logger } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import {
  type DeadLetter,
  decodeBatch,
  decodeDead,
  decodeLive,
  encodeBatch,
  type LiveEntry,
  type Publish,
} from '../../telemetry/batch.ts';
import { telemetryTopic } from '../../telemetry/topic.ts';
import { type Decoder, WHOLE } from '../../workers/decoding/decoder.ts';
import { Worker, type WorkerOptions } from '../../workers/worker.ts';
import { temporaryFolder, until } from '../services/wait.ts';

export const FARM = 'north';
export const T0 = 1_764_000_000_000;

/** A publish of one reading, `seq`, of `sensor`, whose time is distinct. */
export function numberedPublish(sensor: string, seq: number, values: Readonly<Record<string, number>> = {}): Publish {
  const payload = Buffer.from(JSON.stringify({ ts: T0 + seq, values: { seq, ...values } }));
  return { farm: FARM, field: 'f1', sensor, topic: telemetryTopic(FARM, sensor), payload, received: Date.now() };
}

/** A logger that remembers its lines. */
export function listening(): { log: Logger; lines: string[] } {
  const lines: string[] = [];
  const stream = new Writable({ write: (chunk, _encoding, done) => done(void lines.push(String(chunk))) });
  return { log: pino({ level: 'info' }, stream), lines };
}

/** A queue, with another way to consume. */
export function consumedBy(queue: Queue, consume: Queue['consume']): Queue {
  return {
    publish: (body) => queue.publish(body),
    consume,
    depth: () => queue.depth(),
    drain: () => queue.drain(),
    get state() {
      return queue.state;
    },
    watch: (listener) => queue.watch(listener),
    close: () => queue.close(),
  };
}

/** A decoder that calls `before` first, with the message and the publishes in it that are to be decoded. */
export function wrapped(decoder: Decoder, before: (body: Uint8Array, publishes: readonly Publish[]) => void): Decoder {
  return {
    decode: async function* (body, part = WHOLE) {
      before(body, decodeBatch(body).publishes.slice(part.from, part.to));
      yield* decoder.decode(body, part);
    },
    get trouble() {
      return decoder.trouble;
    },
    get isStarting() {
      return decoder.isStarting;
    },
    close: () => decoder.close(),
  };
}

/** A worker's surroundings: queues and logs in files, with the store that a test brings. */
export class Workbench {
  readonly queue: Queue;
  readonly slow: Queue;
  readonly live: Log;
  readonly dead: Log;
  readonly metrics = new Metrics();
  private readonly folder: string;
  private trials: Log | undefined;
  private readonly workers: Worker[] = [];

  private constructor(folder: string, [queue, slow]: readonly [Queue, Queue], live: Log, dead: Log) {
    this.folder = folder;
    this.queue = queue;
    this.slow = slow;
    this.live = live;
    this.dead = dead;
  }

  static async open(): Promise<Workbench> {
    const folder = await temporaryFolder();
    return new Workbench(
      folder,
      [await openFileQueue(`${folder}/queue`), await openFileQueue(`${folder}/queue/slow`)],
      await openFileLog(`${folder}/log`, 'live', LIVE_LOG_LIMITS),
      await openFileLog(`${folder}/log`, 'dead', DEAD_LOG_LIMITS),
    );
  }

  /** Starts the worker on the queue. */
  async work(store: Store, log: Logger, over: Partial<WorkerOptions> = {}): Promise<Worker> {
    return await this.start(store, log, { slow: this.slow, ...over });
  }

  /** Starts the worker on the slow queue. */
  async workSlowly(store: Store, log: Logger, over: Partial<WorkerOptions> = {}): Promise<Worker> {
    return await this.start(store, log, { isSlow: true, queue: this.slow, ...over });
  }

  private async start(store: Store, log: Logger, over: Partial<WorkerOptions>): Promise<Worker> {
    const { queue, live, dead, metrics } = this;
    const openTrials = async () => {
      this.trials ??= await openFileLog(`${this.folder}/log`, 'trials', ISOLATION_LOG_LIMITS);
      return this.trials;
    };
    const worker = new Worker({ queue, store, live, dead, openTrials, log, metrics, ...over });
    this.workers.push(worker);
    await worker.start();
    return worker;
  }

  publish(id: string, publishes: readonly Publish[]): Promise<void> {
    return this.queue.publish(encodeBatch({ id, publishes }));
  }

  emptied(timeoutMs = 15_000): Promise<unknown> {
    const depths = async () => (await this.queue.depth()) + (await this.slow.depth());
    return until('the queues are empty', async () => (await depths()) === 0, { timeoutMs });
  }

  async letters(): Promise<DeadLetter[]> {
    return (await this.dead.read('first', 10_000)).map((entry) => decodeDead(entry.body));
  }

  /** The value of one time series, as `/metrics` shows it. */
  async metric(series: string): Promise<number> {
    const line = (await this.metrics.text()).split('\n').find((text) => text.startsWith(`${series} `));
    return Number(line?.slice(series.length + 1) ?? Number.NaN);
  }

  async close(): Promise<void> {
    for (const worker of this.workers) await worker.stop(2_000);
    for (const part of [this.queue, this.slow, this.live, this.dead, this.trials]) await part?.close();
  }
}

/** What the live log announces; entries that only say what became of batches are left out. */
export async function announced(live: Log): Promise<LiveEntry[]> {
  const entries = (await live.read('first', 1_000)).map(({ body }) => decodeLive(body));
  return entries.filter(({ id }) => id !== '');
}

/** Every `seq` that the store holds of a sensor, with how often. */
export async function storedSeqs(store: Store, sensor: string): Promise<Map<number, number>> {
  const found = new Map<number, number>();
  const query = { farm: FARM, sensors: [sensor], metrics: ['seq'], from: 0, to: T0 * 2 };
  for await (const { value } of store.export(query)) found.set(value, (found.get(value) ?? 0) + 1);
  return found;
}
