import { BATCH_BYTES, USUAL_PAYLOAD_BYTES } from '../telemetry/batch-size.ts';
/** Every bound of the broker. What happens at each is written beside it; most of it is counted. */
export interface BrokerLimits {
  /** Most clients that are let in. A connection of one more is closed before a byte of it is read. */
  readonly connections: number;
  /** Most clients from one address or one IPv6 network (/64). A connection of one more is closed in the same way. */
  readonly connectionsPerAddress: number;
  /** Most connections whose client has not been let in. One more ends the one that has waited longest, of the address with most. */
  readonly greetings: number;
  /** Most connections while the queue refuses. One more is answered CONNACK 3, server unavailable. */
  readonly connectionsWhileShut: number;
  /** Largest CONNECT packet, bytes. A larger one closes the connection before it is buffered. */
  readonly connectBytes: number;
  /** Largest packet after CONNECT that is no PUBLISH, bytes. A larger one closes the connection before it is buffered. */
  readonly packetBytes: number;
  /** Largest payload of a publish, bytes. Of a larger one the beginning becomes a dead letter; it is acknowledged, and the rest thrown away. */
  readonly payloadBytes: number;
  /** Largest payload of a will, bytes, because wills are kept in memory. A larger one is answered CONNACK 5. */
  readonly willBytes: number;
  /** Most publishes of one client between the socket and the queue's confirm. At the bound its socket is not read. */
  readonly clientPublishes: number;
  /** Most publishes of all clients between the sockets and the queue's confirms, and their bytes. At a bound they wait. */
  readonly publishes: number;
  readonly publishBytes: number;
  /**
   * Most bytes of all clients that were read but still wait for room in the two bounds above. Above it a client that
   * sends more is closed, unless it has 4 KiB or less waiting itself.
   */
  readonly waitingBytes: number;
  /** A batch is sent to the queue when it has this many publishes, or this many bytes, or is this old (ms). */
  readonly batchPublishes: number;
  readonly batchBytes: number;
  readonly batchMs: number;
  /** Most batches that the queue has not confirmed yet. At the bound further batches wait in the broker. */
  readonly batches: number;
  /** A connection whose client is not let in within this time (ms), the handshakes of TLS and WebSocket included, is closed. */
  readonly connectMs: number;
  /** A client is closed when its publish is unconfirmed for half its keepalive, or for this time (ms) if that is shorter. */
  readonly holdMs: number;
  /** Most sessions (clean=0) kept for clients that are away. One more ends the one that has been away longest. */
  readonly sessions: number;
  /** The same for one sensor or bridge, over all its client ids. */
  readonly sessionsPerIdentity: number;
  /** A session ends when its client stays away for so long, ms. */
  readonly sessionMs: number;
  /** Most subscriptions of one session. One more is answered 128, failure. */
  readonly sessionSubscriptions: number;
  /** Most commands of one session without their PUBACK. No more are sent to it until one was acknowledged. */
  readonly sessionCommands: number;
  /** Most QoS 2 publishes of one session without their PUBREL. A client that begins one more is closed. */
  readonly sessionQos2: number;
  /**
   * Most publishes that all sessions together know by their packet ids: QoS 2 without PUBREL, and QoS 1 that was unacknowledged when a
   * connection ended. At the limit a client that begins one more with QoS 2 is closed, and one with QoS 1 is not known when it is sent again.
   */
  readonly knownPublishes: number;
  /** Most publishes a minute that a sensor has no right to. Each further one in that minute closes its connection. */
  readonly refusedPublishes: number;
  /** Most unregistered sensors of a farm that its bridges may publish for. Publishes of one more are refused. */
  readonly unregisteredSensors: number;
}

export const DEFAULT_BROKER_LIMITS: BrokerLimits = {
  connections: 20_000,
  connectionsPerAddress: 10_000,
  greetings: 4_096,
  connectionsWhileShut: 10_000,
  connectBytes: 8 * 1024,
  packetBytes: 64 * 1024,
  payloadBytes: USUAL_PAYLOAD_BYTES,
  willBytes: 4 * 1024,
  clientPublishes: 256,
  publishes: 50_000,
  publishBytes: 64 * 1024 ** 2,
  waitingBytes: 64 * 1024 ** 2,
  batchPublishes: 256,
  batchBytes: BATCH_BYTES,
  batchMs: 2,
  batches: 16,
  connectMs: 10_000,
  holdMs: 60_000,
  sessions: 20_000,
  sessionsPerIdentity: 8,
  sessionMs: 24 * 3_600_000,
  sessionSubscriptions: 1_000,
  sessionCommands: 16,
  sessionQos2: 1_000,
  knownPublishes: 200_000,
  refusedPublishes: 100,
  unregisteredSensors: 1_000,
};
