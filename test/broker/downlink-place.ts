import { Commands } from '../../backbone/commands/commands.ts';
import type { Log } from '../../backbone/ports/log.ts';
import type { Queue } from '../../backbone/ports/queue.ts';
import type { Broker } from '../../broker/broker.ts';
import { Downlink } from '../../broker/downlink/downlink.ts';
import { type Logger, silent } from '../../core/logger.ts';
import type { Command } from '../../telemetry/command.ts';
import { COMMAND_INDEX_LIMITS, type CommandIndexLimits, stateOf } from '../../telemetry/command-index.ts';
import { Book } from '../services/registry.ts';
import { until } from '../services/wait.ts';
import { FARMS, startBroker } from './harness.ts';
import { answer, type ConnectBytes, subscribe } from './mqtt-bytes.ts';
import { Peer } from './peer.ts';

const PUBACK = 0x40;

/** A broker with its downlink, as `loam broker` makes them. */
export interface Station {
  readonly broker: Broker;
  readonly downlink: Downlink;
  readonly commands: Commands;
  stop(): Promise<void>;
}

/** Brokers that follow one log, and their clients. */
export class Stations {
  readonly book = new Book(FARMS);
  private readonly peers: Peer[] = [];
  private readonly running = new Set<Station>();
  private readonly queue: Queue;
  readonly log: Log;

  constructor(queue: Queue, log: Log) {
    this.queue = queue;
    this.log = log;
  }

  async start(
    options: { alone?: boolean; log?: Log; limits?: Partial<CommandIndexLimits>; logger?: Logger } = {},
  ): Promise<Station> {
    const { alone = false, log = this.log, limits = {}, logger = silent } = options;
    const commands = await Commands.open(log, logger, { ...COMMAND_INDEX_LIMITS, ...limits });
    const broker = await startBroker(this.queue, { registry: this.book, log: logger });
    const { subscribers } = broker;
    const downlink = new Downlink({ commands, subscribers, registry: this.book, log: silent, alone });
    await downlink.start();
    const stop = async () => {
      this.running.delete(station);
      await broker.stop(1_000);
      await downlink.stop(1_000);
      await commands.close();
    };
    const station = { broker, downlink, commands, stop };
    this.running.add(station);
    return station;
  }

  async connect(station: Station, sensor: string, changes: ConnectBytes = {}): Promise<Peer> {
    const peer = new Peer(station.broker.port);
    this.peers.push(peer);
    const code = await peer.connect({ username: sensor, password: `secret-${sensor}`, ...changes });
    if (code !== 0) throw new Error(`not let in: CONNACK ${code}`);
    return peer;
  }

  /** A sensor or bridge that subscribed to commands; a sensor to its own, a bridge to those of its farm, unless told. */
  async listen(
    station: Station,
    sensor: string,
    options: ConnectBytes & { filter?: string; qos?: number } = {},
  ): Promise<Peer> {
    const { filter = topicFor(sensor === 'gate' ? '+' : sensor), qos = 1, ...changes } = options;
    const peer = await this.connect(station, sensor, changes);
    peer.send(subscribe(1, [filter, qos]));
    await peer.next('suback');
    return peer;
  }

  async stop(): Promise<void> {
    for (const peer of this.peers.splice(0)) peer.cut();
    for (const station of [...this.running]) await station.stop();
  }
}

export function topicFor(sensor: string): string {
  return `farms/north/sensors/${sensor}/commands`;
}

export function wish(sensor: string, command: unknown, more: { lifeMs?: number } = {}) {
  return { farm: 'north', sensor, payload: Buffer.from(JSON.stringify(command)), by: 'ada', ...more };
}

/** The commands that a client was sent so far, in order. */
export function got(
  peer: Peer,
): { id: string; command: unknown; packetId: number; dup: boolean; topic: string; qos: number }[] {
  return peer.publishes.map(({ payload, id: packetId, dup, topic, qos }) => {
    const { id, command }: { id: string; command: unknown } = JSON.parse(payload);
    return { id, command, packetId, dup, topic, qos };
  });
}

/** Waits for so many commands and answers each with its PUBACK. */
export async function take(peer: Peer, count: number): Promise<unknown[]> {
  for (let taken = 0; taken < count; taken++) {
    await peer.next('publish', taken + 1);
    peer.send(answer(PUBACK, peer.publishes[taken]?.id ?? 0));
  }
  return got(peer)
    .slice(0, count)
    .map(({ command }) => command);
}

export function acknowledge(peer: Peer, packetId: number): void {
  peer.send(answer(PUBACK, packetId));
}

/** Resolves when a broker's reading of the log says so of a command. */
export async function becomes(station: Station, { id, farm, sensor }: Command, state: string): Promise<void> {
  await until(`command ${id} is ${state}`, () => {
    const record = station.commands.recordsOf(farm, sensor).find(({ command }) => command.id === id);
    return record !== undefined && stateOf(record, Date.now()) === state;
  });
}
