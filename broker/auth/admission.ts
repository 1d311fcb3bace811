import type { AuthenticateError, Client, ConnectPacket } from 'aedes';
import { LRUCache } from 'lru-cache';
import type { Logger } from '../../core/logger.ts';
import type { SecretKeys } from '../../core/secret-key.ts';
import { cut } from '../../telemetry/noted.ts';
import { isBridgeNotice } from '../../telemetry/notices.ts';
import type { RegistryView } from '../../telemetry/registry/registry.ts';
import type { BrokerCounters } from '../counters.ts';
import type { BrokerLimits } from '../limits.ts';
import { FramedSocket } from '../mqtt/framed-socket.ts';
import type { Addresses } from './addresses.ts';
import { type ClientCertificate, hasEnded } from './client-certificate.ts';
import { type CertificateProblem, type Identity, identify, identifyCertified } from './identity.ts';
import { rightTopic } from './right-topic.ts';
import { MOST_TOPIC, type Rights } from './rights.ts';
import { ofIdentity, type RefusalReason, whyNotCertified, whyWrong } from './why-refused.ts';

/** CONNACK return codes of MQTT 3.1.1 (3.2.2.3). */
const IDENTIFIER_REJECTED = 2;
const SERVER_UNAVAILABLE = 3;
const BAD_CREDENTIALS = 4;
const NOT_AUTHORISED = 5;

/** Longer client ids are refused: they are kept in memory for every connection. */
const MOST_CLIENT_ID = 256;
/** Seconds. A client that sends nothing for one and a half times its keepalive is closed. */
const LONGEST_KEEPALIVE = 65_535;
const CONTROL = /\p{Cc}/u;

/** Where refusals are counted that are not of wrong credentials. */
const COUNTED: Readonly<Record<string, 'refusedAmbiguous' | 'refusedRevoked'>> = {
  ambiguous_common_name: 'refusedAmbiguous',
  revoked_certificate: 'refusedRevoked',
};

export interface AdmissionParts {
  readonly limits: BrokerLimits;
  readonly counters: BrokerCounters;
  readonly log: Logger;
  readonly registry: RegistryView;
  readonly rights: Rights;
  /** The keys of LOAM_SECRET_KEY, while there is one. */
  readonly secretKeys: () => SecretKeys | undefined;
  readonly addresses: Addresses;
  /** Whether a list says that a client certificate was revoked. */
  readonly isRevoked: (certificate: ClientCertificate) => boolean;
  /** Whether the broker cannot take one more client now. */
  readonly unavailable: () => boolean;
  readonly admit: (client: Client, identity: Identity, keepaliveSeconds: number) => void;
  /** Told of each refusal that its client is the cause of. */
  readonly refused: (address: string, reason: RefusalReason) => void;
}

type AdmissionDecision =
  | { readonly in: true; readonly identity: Identity }
  | {
      readonly in: false;
      readonly returnCode: number;
      readonly why: string;
      /** For those who look after the installation. Absent when the cause is not the client. */
      readonly reason?: RefusalReason;
      readonly count: keyof BrokerCounters & `refused${string}`;
    };

/** Decides which clients are let in: two hooks that the MQTT library calls for a CONNECT packet. Both always call back. */
export class Admission {
  private readonly parts: AdmissionParts;
  private readonly connectPackets = new WeakMap<Client, ConnectPacket>();
  /** Common names whose refusal was logged: a refused client comes back every few seconds. */
  private readonly saidAmbiguous = new LRUCache<string, true>({ max: 1_000, ttl: 3_600_000 });
  /** Clients whose will was dropped and that this was said of, as `farm/id`. */
  private readonly saidDropped = new LRUCache<string, true>({ max: 1_000, ttl: 3_600_000 });

  constructor(parts: AdmissionParts) {
    this.parts = parts;
  }

  /** Control characters in texts end the connection [MQTT-1.5.3-2]; by an Error, as `false` would leave the socket open. */
  readonly preConnect = (
    client: Client,
    packet: ConnectPacket,
    callback: (error: Error | null, success: boolean) => void,
  ): void => {
    const texts = [packet.clientId, packet.username ?? '', packet.will?.topic ?? ''];
    if (texts.some((text) => CONTROL.test(text))) {
      this.parts.counters.malformed += 1;
      const what = 'a control character in client id, user name or topic of the will';
      this.parts.refused(arrivalOf(client)?.address ?? '', { why: 'malformed', what });
      callback(new Error('control character in CONNECT'), false);
    } else {
      this.connectPackets.set(client, packet);
      callback(null, true);
    }
  };

  readonly authenticate = (
    client: Client,
    username: string | undefined,
    password: Buffer | undefined,
    callback: (error: AuthenticateError | null, success: boolean | null) => void,
  ): void => {
    const { counters, admit, log } = this.parts;
    const greeting = this.connectPackets.get(client);
    this.connectPackets.delete(client);
    const judged = this.decide(greeting, username, password, arrivalOf(client)?.certified);
    if (!judged.in) {
      const { returnCode, why, count, reason } = judged;
      counters[count] += 1;
      if (reason) this.parts.refused(arrivalOf(client)?.address ?? '', reason);
      else log.debug({ event: 'connect_refused', returnCode, why }, 'a client was refused');
      const answer = () => callback(Object.assign(new Error(why), { returnCode }), false);
      const delayMs =
        returnCode === BAD_CREDENTIALS ? this.parts.addresses.failed(arrivalOf(client)?.address ?? '') : 0;
      if (delayMs > 0) counters.slowedCredentials += 1;
      if (delayMs > 0) setTimeout(answer, delayMs).unref();
      else answer();
      return;
    }
    // The identity is part of the id, so a client cannot take over another sensor's session. Neither a farm's nor a
    // sensor's id has a "/".
    client.id = `${judged.identity.farm}/${judged.identity.sensor}/${client.id}`;
    counters.accepted += 1;
    // A client without a keepalive gets the longest one, so that a silent client is always closed in the end.
    admit(client, judged.identity, greeting?.keepalive || LONGEST_KEEPALIVE);
    // The library's keepalive time-out is turned off: it does not see publishes that bypass it, or that a socket is not
    // being read. `Session` decides when a client was silent for too long.
    if (greeting) greeting.keepalive = 0;
    callback(null, true);
  };

  private decide(
    greeting: ConnectPacket | undefined,
    username: string | undefined,
    password: Buffer | undefined,
    certified: ClientCertificate | undefined,
  ): AdmissionDecision {
    if (this.parts.unavailable()) {
      const why = 'the queue refuses and there is no room for more publishers';
      return { in: false, returnCode: SERVER_UNAVAILABLE, why, count: 'refusedUnavailable' };
    }
    const identity = this.identityOf(username, password, certified);
    if ('problem' in identity) {
      const count = COUNTED[identity.problem] ?? 'refusedCredentials';
      const registry = this.parts.registry.current();
      const reason =
        identity.problem === 'wrong_credentials' || certified === undefined
          ? whyWrong(registry, username, password)
          : whyNotCertified(registry, certified.name, identity.problem);
      return { in: false, returnCode: BAD_CREDENTIALS, why: identity.problem, reason, count };
    }
    if (!greeting || !clientIdAllowed(greeting)) {
      const reason = ofIdentity(identity, 'client_id', `it is longer than ${MOST_CLIENT_ID}, or empty with clean=0`);
      return { in: false, returnCode: IDENTIFIER_REJECTED, why: 'client id', reason, count: 'refusedConnect' };
    }
    if (!this.willAllowed(identity, greeting)) {
      const reason = ofIdentity(identity, 'will', this.willWords(identity, greeting));
      return { in: false, returnCode: NOT_AUTHORISED, why: 'will', reason, count: 'refusedConnect' };
    }
    return { in: true, identity };
  }

  private identityOf(
    username: string | undefined,
    password: Buffer | undefined,
    certified: ClientCertificate | undefined,
  ): Identity | { readonly problem: CertificateProblem | 'wrong_credentials' } {
    const { registry, log, secretKeys } = this.parts;
    if (certified === undefined) {
      return identify(registry.current(), username, password, secretKeys()) ?? { problem: 'wrong_credentials' };
    }
    // TLS has judged it by the lists of the begin of its TLS session, which a client may resume later.
    if (hasEnded(certified)) return { problem: 'ended_certificate' };
    if (this.parts.isRevoked(certified)) return { problem: 'revoked_certificate' };
    const { name } = certified;
    const identity = identifyCertified(registry.current(), certified, username);
    if ('problem' in identity && identity.problem === 'ambiguous_common_name' && !this.saidAmbiguous.has(name)) {
      this.saidAmbiguous.set(name, true);
      log.warn(
        { event: 'connect_refused', why: identity.problem, commonName: name },
        'a certificate was refused: several farms have a sensor with this id, and none of them says `cn: id`',
      );
    }
    return identity;
  }

  private willAllowed(identity: Identity, { will }: ConnectPacket): boolean {
    if (!will) return true;
    if (Buffer.byteLength(will.payload) > this.parts.limits.willBytes) return false;
    const { rights } = this.parts;
    if (!rights.passesOver(identity, will.topic) && !rights.mayDropWill(identity, will.topic)) {
      return rights.publish(identity, will.topic).may;
    }
    this.sayDropped(identity, will.topic);
    return true;
  }

  private sayDropped({ farm, sensor }: Identity, topic: string): void {
    const name = `${farm}/${sensor}`;
    if (this.saidDropped.has(name)) return;
    this.saidDropped.set(name, true);
    this.parts.log.info(
      {
        event: isBridgeNotice(topic) ? 'bridge_notice' : 'will_dropped',
        sensor: name,
        topic: topic.slice(0, MOST_TOPIC),
      },
      'a client says by a will whether it is connected: the will is dropped, and the client let in',
    );
  }

  /** What is wrong with a will that is not allowed. */
  private willWords(identity: Identity, { will }: ConnectPacket): string {
    const { willBytes } = this.parts.limits;
    if (will && Buffer.byteLength(will.payload) > willBytes) return `its will has more than ${willBytes} bytes`;
    const topic = cut(will?.topic ?? '', 200);
    return `its will is for ${JSON.stringify(topic)}; this client may publish to ${rightTopic(identity)}`;
  }
}

/** Without a client id no session can be kept, so `clean` must be true [MQTT-3.1.3-8]. */
function clientIdAllowed({ clientId, clean }: ConnectPacket): boolean {
  return clientId === '' ? clean === true : clientId.length <= MOST_CLIENT_ID;
}

function arrivalOf(client: Client): FramedSocket['arrival'] | undefined {
  return client.conn instanceof FramedSocket ? client.conn.arrival : undefined;
}
