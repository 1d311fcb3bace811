/** Every bound of the broker. What happens at each is written beside it; all of it is counted. */
export interface BrokerLimits {
  /** Most connections. One more is closed before a byte of it is read. */
  readonly connections: number;
  /** Most connections from one address, or one network of IPv6 (/64). One more is closed as well. */
  readonly connectionsPerAddress: number;
  /** Most connections while the queue refuses. One more is answered CONNACK 3, server unavailable. */
  readonly connectionsWhileShut: number;
  /** Largest CONNECT packet, bytes. A larger one closes the connection before it is buffered. */
  readonly connectBytes: number;
  /** Largest packet after CONNECT, bytes. A larger one closes the connection before it is buffered. */
  readonly packetBytes: number;
  /** Largest payload of a will, bytes, because wills are kept in memory. A larger one is answered CONNACK 5. */
  readonly willBytes: number;
  /** Most publishes of one client between the socket and the queue's confirm. At the bound its socket is not read. */
  readonly clientPublishes: number;
  /** Most publishes of all clients between the sockets and the queue's confirms, and their bytes. At the bound no socket is read. */
  readonly publishes: number;
  readonly publishBytes: number;
  /** Most bytes read from sockets that wait in front of the two bounds above. A client that brings more, and has some waiting, is closed. */
  readonly waitingBytes: number;
  /** One queue message is made of this many publishes, or these bytes, or after this time. */
  readonly batchPublishes: number;
  readonly batchBytes: number;
  readonly batchMs: number;
  /** Most queue messages without their confirm. At the bound batches grow instead. */
  readonly batches: number;
  /** A socket that sent no CONNECT for so long is closed; so is one whose TLS or WebSocket handshake takes longer. */
  readonly connectMs: number;
  /** A publisher whose publish is not confirmed for half its keepalive is closed; also after this time, for long keepalives and none. */
  readonly holdMs: number;
  /** Most sessions (clean=0) kept for clients that are away. One more ends the one that has been away longest. */
  readonly sessions: number;
  /** The same for one sensor or bridge, whatever client ids it uses. */
  readonly sessionsPerIdentity: number;
  /** A session whose client stays away for so long ends. */
  readonly sessionMs: number;
  /** Most subscriptions of one session. One more is answered 128, failure. */
  readonly sessionSubscriptions: number;
  /** Most commands of one session without their PUBACK. No more are sent to it until one was acknowledged. */
  readonly sessionCommands: number;
  /** Most QoS 2 publishes of one session without their PUBREL. A client that begins one more is closed. */
  readonly sessionQos2: number;
  /** Most publishes a minute that a sensor has no right to. At one more it is closed, and again at the next. */
  readonly refusedPublishes: number;
  /** Most sensors of a farm that bridges bring and nobody registered. The publishes of one more are refused. */
  readonly unregisteredSensors: number;
  /** How far the times of receipt of one sensor may run ahead of the clock, ms, when it publishes more than one message a millisecond. At the bound its publishes are held. */
  readonly aheadMs: number;
  /** Most sensors whose last time of receipt is remembered. Beyond it the one that was quiet longest is forgotten; of those that are all ahead of the clock none is, and further ones share a row of times. */
  readonly receiptSensors: number;
}

export const DEFAULT_BROKER_LIMITS: BrokerLimits = {
  connections: 20_000,
  connectionsPerAddress: 10_000,
  connectionsWhileShut: 10_000,
  connectBytes: 8 * 1024,
  packetBytes: 64 * 1024,
  willBytes: 4 * 1024,
  clientPublishes: 256,
  publishes: 50_000,
  publishBytes: 64 * 1024 ** 2,
  waitingBytes: 64 * 1024 ** 2,
  batchPublishes: 256,
  batchBytes: 512 * 1000,
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
  refusedPublishes: 100,
  unregisteredSensors: 1_000,
  aheadMs: 60_000,
  receiptSensors: 100_000,
};
