/**
 * A message for a link. `settle` is called once: with true when the broker acknowledged the message (QoS 0: when it was
 * sent), with false when the link gave it up.
 */
export interface Outgoing {
  readonly topic: string;
  readonly payload: Uint8Array | string;
  readonly qos: 0 | 1;
  settle(acknowledged: boolean): void;
}

export interface LinkOptions {
  /** `mqtt://HOST:PORT` or `mqtts://HOST:PORT` */
  readonly url: string;
  readonly clientId: string;
  readonly username?: string;
  readonly password?: string;
  /** Most messages kept while the broker is away or busy. For one more, the oldest is dropped and counted as failed. */
  readonly outbox?: number;
}

/** Why an attempt to connect failed. `code` is the return code of the CONNACK, if there was one. */
export interface LinkRefusal {
  readonly why: string;
  readonly code: number | undefined;
}

/**
 * One MQTT connection of a simulated device or gateway. It sends messages in the order in which it gets them, at most
 * eight without an acknowledgement. After every break it sends QoS 1 messages again until they are acknowledged.
 */
export interface Link {
  readonly connected: boolean;
  /** How often an established connection broke. */
  readonly breaks: number;
  /** Why the last attempt to connect failed; undefined after one that succeeded. */
  readonly refused: LinkRefusal | undefined;
  /** Messages that are neither acknowledged nor given up. */
  readonly pending: number;
  /** Begins to connect, and does so again after every break. */
  start(): void;
  publish(message: Outgoing): void;
  /** Breaks the connection as a failing network would, and stays away until `comeBack`. */
  leave(): void;
  comeBack(): void;
  /**
   * Waits up to `deadlineMs` for acknowledgements while there is a connection, then disconnects. Messages that are
   * still pending have failed. If the broker does not close its side, the link closes the socket after `FAREWELL_MS`.
   */
  stop(deadlineMs: number): Promise<void>;
}

/** Most messages of a link that wait for their PUBACK. */
export const IN_FLIGHT = 8;
/** How long a broker has to close the connection after a DISCONNECT, ms. */
export const FAREWELL_MS = 500;
