/** A message for a link. `settle` is called once: true when the broker acknowledged it (QoS 0: when it was sent), false when it never will have. */
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
  /** Most messages kept while the broker is away or busy; the oldest is dropped for one more, and counted as failed. */
  readonly outbox?: number;
}

/** Why a broker did not let a link in. `code` is the CONNACK's, where there was one. */
export interface LinkRefusal {
  readonly why: string;
  readonly code: number | undefined;
}

/**
 * One MQTT connection of a simulated device or gateway: messages given to it are sent in order, at most eight without an acknowledgement, and
 * QoS 1 ones again after every break until they are acknowledged.
 */
export interface Link {
  readonly connected: boolean;
  /** How often an established connection broke. */
  readonly breaks: number;
  /** Why the last attempt failed; undefined once one did not. */
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
   * Waits up to `deadlineMs` for acknowledgements when there is a connection, then leaves; what is pending then has failed.
   * A broker that does not close its side is left after `FAREWELL_MS`.
   */
  stop(deadlineMs: number): Promise<void>;
}

/** Messages without their PUBACK at once. */
export const IN_FLIGHT = 8;
/** How long a broker has to close a connection that was taken leave of. */
export const FAREWELL_MS = 500;
