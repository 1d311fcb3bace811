import { writeFile } from 'node:fs/promises';
import mqtt, { type MqttClient } from 'mqtt';
import { Commands } from '../../backbone/commands/commands.ts';
import { RefusalBook } from '../../backbone/events/refusal-book.ts';
import {
  COMMANDS_LOG_LIMITS,
  DEAD_LOG_LIMITS,
  EVENT_LOG_LIMITS,
  ISOLATION_LOG_LIMITS,
  LIVE_LOG_LIMITS,
  type Log,
  REFUSALS_LOG_LIMITS,
  SESSIONS_LOG_LIMITS,
} from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Store } from '../../backbone/ports/store.ts';
import { YamlRegistry } from '../../backbone/registry/yaml/registry.ts';
import { openFileLog } from '../../backbone/segments/log.ts';
import { Broker } from '../../broker/broker.ts';
import { Receipts } from '../../broker/ingest/receipts.ts';
import { Sources } from '../../broker/sources/sources.ts';
import { silent } from '../../core/logger.ts';
import { Metrics } from '../../core/metrics.ts';
import { SecretKeys } from '../../core/secret-key.ts';
import { hashSecret } from '../../core/secrets.ts';
import { Gateway } from '../../dashboard-gateway/gateway.ts';
import { decodeBatch, decodeDead } from '../../telemetry/batch.ts';
import type { ClockPolicy } from '../../telemetry/clock.ts';
import { Worker } from '../../workers/worker.ts';
import type { MosquittoServer } from '../services/mosquitto.ts';
import { type Proxy as Line, startProxy } from '../services/proxy.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { type Faults, faultyQueue, faultyStore } from './faults.ts';
import { BOTH_FARMS, type FarmId, type StoredValue } from './measurements.ts';
import { ResendingSensor } from './resending-sensor.ts';

const TOKEN = 't'.repeat(43);
const HOUR = 3_600_000;
export const NO_FAULTS: Readonly<Faults> = { refused: 0, unconfirmed: 0, redelivered: 0, unwritten: 0 };

/** What a run is on. `openQueue` gives each part that uses the queue its own view of it, as if it were a process. */
export interface Surroundings {
  readonly openQueue: () => Promise<Queue>;
  readonly store: Store;
  readonly mosquitto: MosquittoServer;
  close(): Promise<void>;
}

/** The sensors that both farms have. `x1` is in no registry: a bridge, or another broker, brings it. */
export type SensorId = (typeof REGISTERED)[number] | 'x1';
const REGISTERED = ['a1', 'a2', 'r1'] as const;

/** Whose clock dates a sensor's readings. The two that are called `a2` differ in it. */
export function clockOf(farm: FarmId, sensor: SensorId): ClockPolicy {
  return sensor === 'r1' || (sensor === 'a2' && farm === 'south') ? 'receipt' : 'device';
}

let runs = 0;

function registryOf(sourcePort: number): string {
  runs += 1;
  const sensors = BOTH_FARMS.flatMap((farm) => [
    ...REGISTERED.map(
      (id) => `{ id: ${id}, farm: ${farm}, clock: ${clockOf(farm, id)}, secret: ${secretOf(farm, id)} }`,
    ),
    `{ id: gate, farm: ${farm}, role: bridge, secret: ${secretOf(farm, 'gate')} }`,
  ]);
  const sources = BOTH_FARMS.map((farm) => {
    const topics = `["farms/${farm}/sensors/+/telemetry", "application/${farm}/device/+/event/up"]`;
    const url = `mqtt://127.0.0.1:${sourcePort}`;
    return `{ id: other-${farm}, farm: ${farm}, url: "${url}", topics: ${topics}, clientId: ${farm}-${process.pid}-${runs} }`;
  });
  const farms = BOTH_FARMS.map((id) => `{ id: ${id}, name: Farm, timezone: UTC }`);
  const lists = { farms, sensors, sources };
  return Object.entries(lists)
    .map(([name, items]) => `${name}:\n${items.map((item) => `  - ${item}\n`).join('')}`)
    .join('');
}

const secretOf = (farm: FarmId, id: string) => hashSecret(`secret-${farm}-${id}`);

/**
 * Two farms with the same sensors, on a real Loam: a broker with sources, a second broker, one worker at a time and a
 * gateway, all with one queue and one store, and a Mosquitto that the sources take readings from.
 */
export class TwoFarms {
  readonly faults: Faults = { ...NO_FAULTS };
  private readonly surroundings: Surroundings;
  private readonly logs: {
    readonly live: Log;
    readonly dead: Log;
    readonly events: Log;
    readonly sessions: Log;
    readonly refusals: Log;
    readonly commands: Log;
  };
  private readonly folder: string;
  private readonly registry: YamlRegistry;
  /** Between the sources and Mosquitto. */
  private readonly line: Line;
  private readonly metrics = new Metrics();
  private readonly sensors = new Map<string, ResendingSensor>();
  private readonly queues: Queue[] = [];
  /** How often each payload is in a message that the queue has taken. */
  private readonly kept = new Map<string, number>();
  private readonly ends: (() => Promise<unknown>)[] = [];
  private brokers: readonly Broker[] = [];
  private gateway: Gateway | undefined;
  private other: MqttClient | undefined;
  private worker: { readonly worker: Worker; readonly queue: Queue } | undefined;
  private trials: Log | undefined;

  private constructor(
    folder: string,
    surroundings: Surroundings,
    line: Line,
    registry: YamlRegistry,
    logs: TwoFarms['logs'],
  ) {
    this.folder = folder;
    this.surroundings = surroundings;
    this.line = line;
    this.registry = registry;
    this.logs = logs;
  }

  static async open(surroundings: Surroundings): Promise<TwoFarms> {
    const folder = await temporaryFolder();
    const line = await startProxy(surroundings.mosquitto.port);
    await writeFile(`${folder}/registry.yaml`, registryOf(line.port));
    const registry = await YamlRegistry.open(`${folder}/registry.yaml`, { log: silent, here: true });
    const logs = {
      live: await openFileLog(folder, 'live', LIVE_LOG_LIMITS),
      dead: await openFileLog(folder, 'dead', DEAD_LOG_LIMITS),
      events: await openFileLog(folder, 'events', EVENT_LOG_LIMITS),
      sessions: await openFileLog(folder, 'sessions', SESSIONS_LOG_LIMITS),
      refusals: await openFileLog(folder, 'refusals', REFUSALS_LOG_LIMITS),
      commands: await openFileLog(folder, 'commands', COMMANDS_LOG_LIMITS),
    };
    const farms = new TwoFarms(folder, surroundings, line, registry, logs);
    await farms.start();
    return farms;
  }

  /** The sensor or bridge that signs in with this user name, at the first or the second broker. It connects at its first publish. */
  client(broker: 0 | 1, farm: FarmId, id: string, username: string): ResendingSensor {
    const clientId = `${username} at ${broker}`;
    const key = `${farm} ${clientId}`;
    const port = this.brokers[broker]?.port ?? 0;
    const known = this.sensors.get(key);
    const sensor = known ?? new ResendingSensor({ port, username, password: `secret-${farm}-${id}`, clientId });
    this.sensors.set(key, sensor);
    return sensor;
  }

  /** A client of Mosquitto. */
  get elsewhere(): MqttClient {
    if (!this.other) throw new Error('not started');
    return this.other;
  }

  /** Ends the connections between the sources and Mosquitto. They come back after half a second or more. */
  cutSources(): void {
    this.line.cut();
    this.line.restore();
  }

  /** Resolves when the queue has taken the payload so many times: then Loam has acknowledged it to Mosquitto, or is about to. */
  async keeps(payload: string, times: number): Promise<void> {
    const isKept = () => (this.kept.get(payload) ?? 0) >= times;
    await until(`${payload} is in the queue`, isKept, { timeoutMs: 30_000, everyMs: 5 });
  }

  /** Imports rows of one sensor. Resolves when they were taken; what is refused for the moment is asked for again. */
  async import(farm: FarmId, sensor: string, rows: readonly [number, Record<string, number>][]): Promise<void> {
    const body = JSON.stringify({ sensor, rows: rows.map(([ts, values], i) => [i + 1, ts, values]) });
    const headers = { authorization: `Bearer ${TOKEN}`, 'content-type': 'application/json' };
    const url = `http://127.0.0.1:${this.gateway?.port}/api/farms/${farm}/import`;
    await until('the import is taken', async () => {
      const answer = await fetch(url, { method: 'POST', headers, body });
      const text = await answer.text();
      if (answer.status !== 202) throw new Error(`${answer.status}: ${text}`);
      return JSON.parse(text).accepted === rows.length;
    });
  }

  /** The worker gives back what it has in hand almost at once, and another one takes its place. */
  async replaceWorker(): Promise<void> {
    const { worker, faults } = this;
    // At the worst moment: when its write has failed, and it has not tried again. There may be nothing to write, too.
    await until('a write fails', () => faults.unwritten === 0, { timeoutMs: 500, everyMs: 2 }).catch(() => {});
    await worker?.worker.stop(2);
    if (worker) await this.closeQueue(worker.queue);
    await this.startWorker();
  }

  /** Resolves when no broker is held up by the queue. */
  async takePublishes(): Promise<void> {
    const isOpen = () => this.brokers.every((broker) => broker.health().every(({ ok }) => ok));
    await until('the brokers have seen that the queue is back', isOpen);
  }

  /** Whether nothing waits in the queue. */
  async isWorkedOff(): Promise<boolean> {
    const [queue] = this.queues;
    return (await queue?.depth()) === 0;
  }

  /** Every value of both farms. */
  async stored(): Promise<StoredValue[]> {
    const { store } = this.surroundings;
    const found: StoredValue[] = [];
    for (const farm of BOTH_FARMS) {
      const sensors = [...new Set((await store.latest(farm)).map(({ sensor }) => sensor))];
      if (sensors.length === 0) continue;
      for await (const value of store.export({ farm, sensors, from: 0, to: Date.now() + HOUR }))
        found.push({ farm, ...value });
    }
    return found;
  }

  /** What was set aside, and why. */
  async letters(): Promise<string[]> {
    const entries = await this.logs.dead.read('first', 1_000);
    return entries.map(({ body }) => decodeDead(body)).map(({ reason, explanation }) => `${reason}: ${explanation}`);
  }

  async close(): Promise<void> {
    for (const sensor of this.sensors.values()) sensor.end();
    for (const end of this.ends.splice(0).reverse()) await end();
    await this.worker?.worker.stop(2_000);
    await this.registry.close();
    for (const queue of [...this.queues]) await this.closeQueue(queue);
    for (const log of [...Object.values(this.logs), this.trials]) await log?.close();
    await this.line.close();
    await this.surroundings.close();
  }

  private async start(): Promise<void> {
    const { registry, metrics, surroundings } = this;
    const { live, dead, events, sessions } = this.logs;
    const [queue, second] = [await this.openQueue(), await this.openQueue()];
    const receipts = new Receipts({ log: silent });
    const common = { host: '127.0.0.1', port: 0, registry, dead, log: silent };
    this.brokers = [new Broker({ ...common, queue, receipts }), new Broker({ ...common, queue: second })];
    for (const broker of this.brokers) await this.begin(broker);
    const sources = new Sources({ queue, dead, registry, metrics, receipts, log: silent });
    await this.begin(sources);
    const commands = await Commands.open(this.logs.commands, silent);
    this.ends.push(() => commands.close());
    const refusals = new RefusalBook({ refusals: this.logs.refusals, logger: silent });
    this.ends.push(() => refusals.stop());
    const gateway: Gateway = new Gateway({
      ...common,
      queue,
      live,
      events,
      sessions,
      refusals,
      commands,
      store: surroundings.store,
      mqtt: () => ({ host: '127.0.0.1', port: 1883, tls: false }),
      secretKey: { current: () => undefined, required: async () => new SecretKeys(TOKEN.padEnd(32, '-')) },
      sessionKey: TOKEN,
      adminToken: TOKEN,
      webFolder: this.folder,
      health: () => gateway.health(),
    });
    this.gateway = gateway;
    await this.begin(gateway);
    await this.startWorker();
    const other = await mqtt.connectAsync(surroundings.mosquitto.url, { reconnectPeriod: 0 });
    this.other = other;
    this.ends.push(() => other.endAsync(true));
    await until('the sources are connected', () => sources.health().every(({ ok }) => ok));
  }

  private async begin(part: { start(): Promise<void>; stop(deadlineMs: number): Promise<void> }): Promise<void> {
    await part.start();
    this.ends.push(() => part.stop(2_000));
  }

  private async startWorker(): Promise<void> {
    const queue = await this.openQueue();
    const { registry } = this;
    const { live, dead } = this.logs;
    const openTrials = async () => {
      this.trials ??= await openFileLog(this.folder, 'trials', ISOLATION_LOG_LIMITS);
      return this.trials;
    };
    const store = faultyStore(this.surroundings.store, this.faults);
    const worker = new Worker({ queue, store, live, dead, openTrials, registry, log: silent });
    this.worker = { worker, queue };
    await worker.start();
  }

  private keep(body: Uint8Array): void {
    for (const publish of decodeBatch(body).publishes) {
      const payload = Buffer.from(publish.payload).toString();
      this.kept.set(payload, (this.kept.get(payload) ?? 0) + 1);
    }
  }

  private async openQueue(): Promise<Queue> {
    const queue = faultyQueue(await this.surroundings.openQueue(), this.faults, (body) => this.keep(body));
    this.queues.push(queue);
    return queue;
  }

  private async closeQueue(queue: Queue): Promise<void> {
    this.queues.splice(this.queues.indexOf(queue), 1);
    await queue.close();
  }
}
