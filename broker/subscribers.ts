import type { Client } from 'aedes';
import mqttPacket from 'mqtt-packet';
import { commandsTopic } from '../telemetry/topic.ts';
import { Gate } from './gate.ts';
import type { Identity } from './identity.ts';
import type { Sent, SessionState } from './session-state.ts';

/** A client that leaves so much unread gets no command on top. */
const MOST_UNREAD_BYTES = 64 * 1024;

/** A connected session that listens for commands. */
export class Subscriber {
  private readonly gate: Gate;
  private readonly state: SessionState;
  private readonly mostCommands: number;

  constructor(gate: Gate, state: SessionState, mostCommands: number) {
    this.gate = gate;
    this.state = state;
    this.mostCommands = mostCommands;
  }

  /** The sensor itself, or the bridge that speaks for it. */
  get identity(): Identity {
    return this.state.identity;
  }

  /** Grows with every connection: of two, the higher one is the newer. */
  get connection(): number {
    return this.state.connection;
  }

  /**
   * Sends a command at the QoS of the subscription, at most 1 [MQTT-3.8.4-6]. Resolves `acknowledged` when its PUBACK came, on this connection or, in a session with clean=0, on a later one;
   * `lost` when the session ended without it, `unconfirmed` when it went out at QoS 0. Never rejects. While it is on its way the same `key` is not sent again.
   * Answers `busy` when the session has too many commands without their PUBACK, or does not read: nothing was sent.
   */
  send(key: string, topic: string, payload: Buffer): Promise<Sent> | 'busy' {
    const { state, gate } = this;
    const underWay = state.underWay(key);
    if (underWay) return underWay.sent;
    if (gate.destroyed || gate.unreadBytes > MOST_UNREAD_BYTES || state.outgoing.size >= this.mostCommands)
      return 'busy';
    if (this.qosOf(topic) === 0) {
      gate.write(mqttPacket.generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false }));
      return Promise.resolve('unconfirmed');
    }
    const { messageId, sent } = state.begin(key, topic, payload);
    gate.write(mqttPacket.generate({ cmd: 'publish', topic, payload, messageId, qos: 1, dup: false, retain: false }));
    return sent;
  }

  /** The highest QoS of the session's subscriptions that hear `topic`, a sensor's commands [MQTT-3.3.5-1]. */
  private qosOf(topic: string): number {
    const { subscriptions, identity } = this.state;
    return Math.max(subscriptions.get(topic) ?? 0, subscriptions.get(commandsTopic(identity.farm, '+')) ?? 0);
  }
}

/** Told of a session that began to listen for the commands of `sensor`, or of every sensor of its farm (`+`). */
export type OnSubscribed = (farm: string, sensor: string, subscriber: Subscriber) => void;

/** Which connected session hears the commands of which sensor. Downlink sends through it. */
export class Subscribers {
  private readonly byTopic = new Map<string, Map<Client, Subscriber>>();
  private readonly listeners = new Set<OnSubscribed>();
  private readonly ofClient = new WeakMap<Client, Subscriber>();
  private readonly mostCommands: number;

  constructor(mostCommands: number) {
    this.mostCommands = mostCommands;
  }

  /** The newest session that hears the commands of `sensor`: its own, or a bridge's. */
  newest(farm: string, sensor: string): Subscriber | undefined {
    let newest: Subscriber | undefined;
    for (const topic of [commandsTopic(farm, sensor), commandsTopic(farm, '+')]) {
      for (const subscriber of this.byTopic.get(topic)?.values() ?? []) {
        if (!newest || subscriber.connection > newest.connection) newest = subscriber;
      }
    }
    return newest;
  }

  /** Calls `listener` for every subscription from now on, also those that a session brings back; returns the function that ends it. */
  watch(listener: OnSubscribed): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** A client was let in, or subscribed to more: it hears `topics` now. */
  add(client: Client, state: SessionState, topics: Iterable<string>): void {
    const { conn } = client;
    if (!(conn instanceof Gate)) return;
    const subscriber = this.ofClient.get(client) ?? new Subscriber(conn, state, this.mostCommands);
    this.ofClient.set(client, subscriber);
    for (const topic of topics) {
      const hears = this.byTopic.get(topic) ?? new Map<Client, Subscriber>();
      hears.set(client, subscriber);
      this.byTopic.set(topic, hears);
      const [, farm = '', , sensor = ''] = topic.split('/');
      for (const listener of this.listeners) listener(farm, sensor, subscriber);
    }
  }

  remove(client: Client, topics: Iterable<string>): void {
    for (const topic of topics) {
      const hears = this.byTopic.get(topic);
      hears?.delete(client);
      if (hears?.size === 0) this.byTopic.delete(topic);
    }
  }
}
