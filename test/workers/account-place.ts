import { BatchEntrance } from '../../backbone/account/batch-entrance.ts';
import { DEAD_LOG_LIMITS, ISOLATION_LOG_LIMITS, LIVE_LOG_LIMITS, type Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { AccountKeeper } from '../../dashboard-gateway/account/account-keeper.ts';
import { LiveFeed } from '../../dashboard-gateway/live/feed/feed.ts';
import { placeId, placeOf } from '../../telemetry/account/batch-place.ts';
import type { AccountNote } from '../../telemetry/account/notes.ts';
import { decodeLive, encodeBatch } from '../../telemetry/batch.ts';
import { Worker } from '../../workers/worker.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { listening, numberedPublish } from './bench.ts';

/** A beat here; everything that is minutes elsewhere is seconds. */
export const BEAT_MS = 200;
const EVERY_MS = 15;

const NOBODY = { begin: () => {}, entry: () => {}, pause: () => {} };

/** An entrance and a worker on a queue, and somebody who keeps the account of it. */
export class AccountPlace {
  readonly metrics = new Metrics();
  readonly lines: string[];
  queue: Queue;
  private readonly store: Store;
  private readonly live: Log;
  private readonly dead: Log;
  private readonly entrance: BatchEntrance;
  private readonly log: ReturnType<typeof listening>['log'];
  private keeper: AccountKeeper | undefined;
  private feed: LiveFeed | undefined;
  private flow: NodeJS.Timeout | undefined;
  private readonly workers: Worker[] = [];
  private readonly underWay = new Set<Promise<void>>();
  private sent = 0;
  /** The run of its entrance, once something was published. */
  run: string | undefined;

  private constructor(queue: Queue, store: Store, live: Log, dead: Log) {
    this.queue = queue;
    this.store = store;
    this.live = live;
    this.dead = dead;
    this.entrance = new BatchEntrance({ name: 'broker', live, beatMs: BEAT_MS });
    const { log, lines } = listening();
    this.log = log;
    this.lines = lines;
  }

  static async open(queue: Queue, store: Store): Promise<AccountPlace> {
    const folder = await temporaryFolder();
    const live = await openFileLog(folder, 'live', LIVE_LOG_LIMITS);
    const dead = await openFileLog(folder, 'dead', DEAD_LOG_LIMITS);
    const place = new AccountPlace(queue, store, live, dead);
    await place.follow();
    await place.entrance.start();
    return place;
  }

  /** Numbers of batches that are called lost, in order. */
  get lost(): number[] {
    const said = this.lines.map((line) => JSON.parse(line)).filter(({ event }) => event === 'batches_lost');
    return said.flatMap(({ numbers }) => numbersIn(numbers)).sort((a, b) => a - b);
  }

  /** What the keeper says in `/readyz`. */
  get why(): string | undefined {
    return this.keeper?.health()[0]?.why;
  }

  /** Begins to follow the log, or goes on where the follower before has stopped. */
  async follow(): Promise<void> {
    const { live, log, metrics } = this;
    const passed = () => performance.now();
    this.keeper = new AccountKeeper({ live, log, metrics, passed, beatMs: BEAT_MS, mostHeldMs: 0, isGapless: true });
    this.feed = new LiveFeed(live, NOBODY, silent, this.keeper);
    await this.feed.start();
    this.keeper.start();
  }

  async stopFollowing(): Promise<void> {
    await this.feed?.stop();
    await this.keeper?.stop();
  }

  /** Publishes `count` batches, each with one reading, to the queue or to `queue`. Resolves when they are confirmed. */
  async publish(count: number, queue = this.queue): Promise<void> {
    const sending = Array.from({ length: count }, () =>
      this.entrance.send((place) => {
        this.sent += 1;
        this.run = place.run;
        const publishes = [numberedPublish('s1', this.sent)];
        return queue.publish(encodeBatch({ id: placeId(place), publishes, place }));
      }),
    );
    await Promise.all(sending);
  }

  /** Publishes one batch after another from now on. */
  flows(): void {
    this.flow = setInterval(() => {
      const sending = this.publish(1).finally(() => this.underWay.delete(sending));
      this.underWay.add(sending);
    }, EVERY_MS);
  }

  /** Starts a worker. `queue`: as it sees it; `live`: where it says what it does. */
  async work(queue = this.queue, { live, store }: { live?: Log; store?: Store } = {}): Promise<Worker> {
    const openTrials = async () => openFileLog(await temporaryFolder(), 'attempts', ISOLATION_LOG_LIMITS);
    const ports = { queue, store: store ?? this.store, live: live ?? this.live, dead: this.dead };
    const worker = new Worker({ ...ports, openTrials, log: silent, notesMs: BEAT_MS });
    this.workers.push(worker);
    await worker.start();
    return worker;
  }

  /** Takes `count` messages out of the queue and acknowledges them, as nobody of Loam would. Resolves with their numbers. */
  async steal(count: number): Promise<number[]> {
    const numbers: number[] = [];
    const consumer = await this.queue.consume(
      async ({ body }) => {
        if (numbers.length === count) throw new Error('no more');
        numbers.push(placeOf(body)?.number ?? 0);
      },
      { prefetch: 1 },
    );
    await until('the messages are taken', () => numbers.length === count);
    await consumer.stop();
    return numbers.sort((a, b) => a - b);
  }

  /** Everything that was said in the log. */
  async notes(): Promise<AccountNote[]> {
    const { first, epoch } = await this.live.head();
    const entries = await this.live.read({ offset: first, epoch }, 10_000);
    return entries.flatMap(({ body }) => decodeLive(body).account ?? []);
  }

  async close(): Promise<void> {
    clearInterval(this.flow);
    await Promise.allSettled(this.underWay);
    for (const worker of this.workers) await worker.stop(2_000);
    await this.entrance.stop();
    await this.stopFollowing();
    await this.live.close();
    await this.dead.close();
  }
}

/** The numbers in words such as `1-3, 7`. */
function numbersIn(words: string): number[] {
  return words.split(', ').flatMap((part) => {
    const [from = 0, to = from] = part.split('-').map(Number);
    return Array.from({ length: to - from + 1 }, (_, i) => from + i);
  });
}
