import { expect } from 'chai';
import type { Consumer, Queue } from '../../backbone/ports/queue.ts';
import { openFileQueue } from '../../backbone/segments/queue.ts';
import type { Broker, BrokerOptions } from '../../broker/broker.ts';
import { decodeBatch, type Publish } from '../../telemetry/batch.ts';
import { temporaryFolder, until } from '../services/wait.ts';
import { startBroker } from './harness.ts';
import type { ConnectBytes } from './mqtt-bytes.ts';
import { Peer } from './peer.ts';

/** Where commands for sensor a1 go. */
export const COMMANDS = 'farms/north/sensors/a1/commands';

/** A broker on a real queue for one test file, and everything that came into the queue. */
export class Place {
  readonly kept: Publish[] = [];
  private readonly peers: Peer[] = [];
  private readonly queue: Queue;
  private readonly consumer: Consumer;
  readonly broker: Broker;

  private constructor(queue: Queue, consumer: Consumer, broker: Broker, kept: Publish[]) {
    this.queue = queue;
    this.consumer = consumer;
    this.broker = broker;
    this.kept = kept;
  }

  static async open(options: Partial<Pick<BrokerOptions, 'limits' | 'registry'>> = {}): Promise<Place> {
    const queue = await openFileQueue(await temporaryFolder());
    const kept: Publish[] = [];
    const consumer = await queue.consume(async ({ body }) => void kept.push(...decodeBatch(body).publishes), {
      prefetch: 1,
    });
    return new Place(queue, consumer, await startBroker(queue, options), kept);
  }

  /** A new connection, on which nothing was sent yet. */
  peer(): Peer {
    const peer = new Peer(this.broker.port);
    this.peers.push(peer);
    return peer;
  }

  /** A client that was let in. */
  async client(changes: ConnectBytes = {}): Promise<Peer> {
    const peer = this.peer();
    const code = await peer.connect(changes);
    if (code !== 0) throw new Error(`not let in: CONNACK ${code}`);
    return peer;
  }

  /** Sends bytes after CONNECT and resolves when that ended the connection, with nothing answered. */
  async endsWith(bytes: Buffer): Promise<void> {
    const peer = await this.client();
    peer.send(bytes);
    await peer.end();
    expect(peer.arrived.map(({ type }) => type)).to.deep.equal(['connack']);
  }

  /** The payloads that are in the queue's past and begin with `prefix`, in order. */
  payloads(prefix: string): string[] {
    const texts = this.kept.map(({ payload }) => Buffer.from(payload).toString());
    return texts.filter((payload) => payload.startsWith(prefix));
  }

  /** Resolves when a publish with this payload has come through the queue. */
  async gets(payload: string): Promise<Publish> {
    return await until(`"${payload}" in the queue`, () =>
      this.kept.find((publish) => Buffer.from(publish.payload).toString() === payload),
    );
  }

  /** Ends the connections of one test. */
  clear(): void {
    for (const peer of this.peers.splice(0)) peer.cut();
  }

  async close(): Promise<void> {
    this.clear();
    await this.broker.stop(2_000);
    await this.consumer.stop();
    await this.queue.close();
  }
}
