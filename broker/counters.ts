/** What the broker has done since it started. Every count only grows. */
export interface BrokerCounters {
  /** Sockets taken. */
  connected: number;
  /** Clients let in. */
  accepted: number;
  refusedCredentials: number;
  /** Certificates refused because several farms have a sensor with the id that is their common name. */
  refusedAmbiguous: number;
  /** Refusals of wrong credentials that were sent late, because their address had too many. */
  slowedCredentials: number;
  /** Certificates refused because the registry, or a list that came meanwhile, says that they were revoked. */
  refusedRevoked: number;
  /** TLS handshakes that failed, and client certificates that the CA has not signed or has revoked. */
  refusedTls: number;
  /** Client ids and wills that were refused. */
  refusedConnect: number;
  /** Clients answered CONNACK 3 because the queue refuses. */
  refusedUnavailable: number;
  /** Sockets closed because as many clients as may are let in, in all or from one address. */
  refusedConnections: number;
  /** Connections ended to make room for another one, before their client was let in. */
  evictedGreetings: number;
  /** Connections closed because their client was not let in in time: most said nothing. */
  lateGreetings: number;
  /** Clients closed for a packet over the limit that was no publish. */
  oversize: number;
  /** Publishes whose payload was over the limit: acknowledged, and kept by their beginning only. */
  overlongPublishes: number;
  /** Clients closed for bytes that are not MQTT 3.1.1, control characters in texts, or too many open QoS 2 publishes. */
  malformed: number;
  /** Clients closed because they answered a command with PUBREC or PUBCOMP, which answer QoS 2; commands have QoS 1. */
  closedWrongAnswer: number;
  /** Clients closed because too many bytes were waiting. */
  closedOverMemory: number;
  /** Clients closed without PUBACK because the queue confirmed nothing in time. */
  closedHeld: number;
  /** Clients closed because they were silent for one and a half times their keepalive. */
  closedSilent: number;
  /** Clients closed because they published too often to topics that they have no right to. */
  closedOffenders: number;
  /** Times that a client's socket was not read, because its sensor publishes faster than its rate. */
  slowed: number;
  /** Times that a client's socket was not read, because it sends too many pings or other packets that are no publishes. */
  slowedControl: number;
  /** Clients closed because the registry no longer lets them in. */
  closedRevoked: number;
  /** Clients closed because their certificate was revoked, or has ended. */
  closedCertificates: number;
  /** Publishes that arrived. */
  received: number;
  /** Publishes that a client sent again in its session, and that were taken already: they are acknowledged once more. */
  sentAgain: number;
  /** Publishes that the queue confirmed. */
  published: number;
  /** Publishes and subscriptions that their client has no right to. */
  notAuthorised: number;
  tooManySensors: number;
  /** Wills and publishes by which a Mosquitto says that it is connected: acknowledged, and dropped. */
  bridgeNotices: number;
  /** Other wills and publishes that are no readings, such as that somebody is connected: acknowledged, and dropped. */
  notices: number;
  /** Refused publishes that were not kept as dead letters. */
  refusedUnkept: number;
  /** Sessions of absent clients that were ended: too many, absent too long, or no longer allowed by the registry. */
  sessionsDropped: number;
  droppedQos0: number;
  /** Publishes given up without PUBACK. Their clients were closed and will send them again. */
  givenUp: number;
  queueFailures: number;
}

export function newCounters(): BrokerCounters {
  return {
    connected: 0,
    accepted: 0,
    refusedCredentials: 0,
    refusedAmbiguous: 0,
    slowedCredentials: 0,
    refusedRevoked: 0,
    refusedTls: 0,
    refusedConnect: 0,
    refusedUnavailable: 0,
    refusedConnections: 0,
    evictedGreetings: 0,
    lateGreetings: 0,
    oversize: 0,
    overlongPublishes: 0,
    malformed: 0,
    closedWrongAnswer: 0,
    closedOverMemory: 0,
    closedHeld: 0,
    closedSilent: 0,
    closedOffenders: 0,
    slowed: 0,
    slowedControl: 0,
    closedRevoked: 0,
    closedCertificates: 0,
    received: 0,
    sentAgain: 0,
    published: 0,
    notAuthorised: 0,
    tooManySensors: 0,
    bridgeNotices: 0,
    notices: 0,
    refusedUnkept: 0,
    sessionsDropped: 0,
    droppedQos0: 0,
    givenUp: 0,
    queueFailures: 0,
  };
}
