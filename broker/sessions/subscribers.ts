import type { Client } from 'aedes';
import mqttPacket from 'mqtt-packet';
import { commandsTopic } from '../../telemetry/topic.ts';
import type { Identity } from '../auth/identity.ts';
import type { Rights } from '../auth/rights.ts';
import { FramedSocket } from '../mqtt/framed-socket.ts';
import type { Sent, SessionState } from './session-state.ts';

/** A client with more unread bytes than this is sent no further command. */
const MOST_UNREAD_BYTES = 64 * 1024;
/** Most sensors of one bridge that are remembered. For further sensors it must subscribe to each one's own topic. */
const MOST_BROUGHT = 10_000;

/** A connected session that subscribed to commands. */
export class Subscriber {
  private readonly framedSocket: FramedSocket;
  private readonly state: SessionState;
  private readonly mostCommands: number;
  /** Grows with every connection: the higher of two numbers is the newer connection. */
  readonly connection: number;

  constructor(framedSocket: FramedSocket, state: SessionState, mostCommands: number) {
    this.framedSocket = framedSocket;
    this.state = state;
    this.connection = state.connection;
    this.mostCommands = mostCommands;
  }

  /** The sensor itself, or the bridge that publishes for it. */
  get identity(): Identity {
    return this.state.identity;
  }

  /** The session, which may outlive its connection. Only for comparing. */
  get session(): object {
    return this.state;
  }

  /** When its connection was let in, Unix ms. */
  get since(): number {
    return this.state.since;
  }

  /** Whether the session published for `sensor` or subscribed to its own topic: then its commands may be sent here. */
  brings(sensor: string): boolean {
    const { brought, subscriptions, identity } = this.state;
    return brought.has(sensor) || subscriptions.has(commandsTopic(identity.farm, sensor));
  }

  /**
   * Sends a command at the QoS of the subscription, at most 1 [MQTT-3.8.4-6]. Never rejects. Resolves with
   * - `acknowledged` when its PUBACK came, on this connection or, with clean=0, on a later one;
   * - `lost` when the session ended without it;
   * - `unconfirmed` when the command was sent at QoS 0.
   * While a command with the same `key` is on its way, nothing is sent again. Returns `busy`, and sends nothing, when
   * the session has too many commands without their PUBACK, or when the client does not read.
   */
  send(key: string, topic: string, payload: Buffer): Promise<Sent> | 'busy' {
    const { state, framedSocket } = this;
    const underWay = state.underWay(key);
    if (underWay) return underWay.sent;
    if (
      framedSocket.destroyed ||
      framedSocket.unreadBytes > MOST_UNREAD_BYTES ||
      state.outgoing.size >= this.mostCommands
    )
      return 'busy';
    if (this.qosOf(topic) === 0) {
      framedSocket.write(mqttPacket.generate({ cmd: 'publish', topic, payload, qos: 0, dup: false, retain: false }));
      return Promise.resolve('unconfirmed');
    }
    const { messageId, sent } = state.begin(key, topic, payload);
    framedSocket.write(
      mqttPacket.generate({ cmd: 'publish', topic, payload, messageId, qos: 1, dup: false, retain: false }),
    );
    return sent;
  }

  /** Marks the command of this key: it is not sent again. */
  withdraw(key: string): void {
    this.state.withdraw(key);
  }

  /** The highest QoS among the session's subscriptions that match `topic`, a sensor's commands [MQTT-3.3.5-1]. */
  private qosOf(topic: string): number {
    const { subscriptions, identity } = this.state;
    return Math.max(subscriptions.get(topic) ?? 0, subscriptions.get(commandsTopic(identity.farm, '+')) ?? 0);
  }
}

/** Called when a session subscribes to the commands of `sensor`, or of every sensor of its farm (`+`). */
export type OnSubscribed = (farm: string, sensor: string, subscriber: Subscriber) => void;

/** The connected sessions, by the sensors whose commands they subscribed to. The downlink sends through them. */
export class Subscribers {
  private readonly byTopic = new Map<string, Map<Client, Subscriber>>();
  private readonly listeners = new Set<OnSubscribed>();
  /** Each client's topics. The session's own list may be empty already, when another connection took the session over. */
  private readonly ofClient = new WeakMap<Client, { readonly subscriber: Subscriber; readonly topics: Set<string> }>();
  private readonly mostCommands: number;
  private readonly rights: Rights;

  constructor(mostCommands: number, rights: Rights) {
    this.mostCommands = mostCommands;
    this.rights = rights;
  }

  /**
   * The sessions that may get the commands of `sensor`, the newest first: the sensor's own, and those of bridges.
   * Rights are checked each time, because a sensor may have left the farm since its bridge subscribed.
   */
  hearing(farm: string, sensor: string): Subscriber[] {
    const topics = [commandsTopic(farm, sensor), commandsTopic(farm, '+')];
    const subscribed = new Set(topics.flatMap((topic) => [...(this.byTopic.get(topic)?.values() ?? [])]));
    const hearing = [...subscribed].filter(({ identity }) =>
      this.rights.subscribe(identity, commandsTopic(farm, sensor)),
    );
    return hearing.sort((a, b) => b.connection - a.connection);
  }

  /** The subscriptions to commands: farm and sensor, or `+` for every sensor of the farm. */
  heard(): (readonly [farm: string, sensor: string])[] {
    return [...this.byTopic.keys()].map(placeOf);
  }

  /** Called when a bridge publishes for `sensor`: from now on the sensor's commands may be sent through it. */
  brought({ brought, connection }: SessionState, farm: string, sensor: string): void {
    if (brought.has(sensor) || brought.size >= MOST_BROUGHT) return;
    brought.add(sensor);
    const subscriber = this.hearing(farm, sensor).find((hearing) => hearing.connection === connection);
    if (!subscriber) return;
    for (const listener of this.listeners) listener(farm, sensor, subscriber);
  }

  /** Calls `listener` for every subscription from now on, restored ones too. Returns the function that ends it. */
  watch(listener: OnSubscribed): () => void {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  }

  /** Adds `topics` of a client that was let in or has subscribed to more. */
  add(client: Client, state: SessionState, topics: Iterable<string>): void {
    const { conn } = client;
    if (!(conn instanceof FramedSocket)) return;
    const own = this.ofClient.get(client) ?? {
      subscriber: new Subscriber(conn, state, this.mostCommands),
      topics: new Set<string>(),
    };
    this.ofClient.set(client, own);
    const { subscriber } = own;
    for (const topic of topics) {
      // Others are granted and silent: nothing is sent there.
      if (!isOfCommands(topic)) continue;
      own.topics.add(topic);
      const hears = this.byTopic.get(topic) ?? new Map<Client, Subscriber>();
      hears.set(client, subscriber);
      this.byTopic.set(topic, hears);
      const [farm, sensor] = placeOf(topic);
      for (const listener of this.listeners) listener(farm, sensor, subscriber);
    }
  }

  /** Removes `topics` that a client unsubscribed from. */
  remove(client: Client, topics: Iterable<string>): void {
    const own = this.ofClient.get(client);
    for (const topic of topics) {
      own?.topics.delete(topic);
      const hears = this.byTopic.get(topic);
      hears?.delete(client);
      if (hears?.size === 0) this.byTopic.delete(topic);
    }
  }

  /** Removes a client whose connection has ended. */
  forget(client: Client): void {
    this.remove(client, [...(this.ofClient.get(client)?.topics ?? [])]);
  }
}

function placeOf(topic: string): readonly [farm: string, sensor: string] {
  const [, farm = '', , sensor = ''] = topic.split('/');
  return [farm, sensor];
}

/** Whether it is `farms/{farm}/sensors/{sensor}/commands`, or with `+` in place of the sensor. */
function isOfCommands(topic: string): boolean {
  return topic === commandsTopic(...placeOf(topic));
}
