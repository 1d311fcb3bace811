import type { SecureContextOptions } from 'node:tls';
import { ConfigInvalid } from '../../core/errors.ts';
import type { Logger } from '../../core/logger.ts';
import type { Networks } from '../../core/networks.ts';
import type { Arrivals } from '../auth/arrivals.ts';
import type { BrokerCounters } from '../counters.ts';
import { Certificate, type CertificateFiles } from './certificate.ts';
import {
  type EntranceOptions,
  type IncomingConnection,
  type ListenerPart,
  TcpEntrance,
  TlsEntrance,
} from './listener.ts';
import { WebSocketEntrance } from './web-socket.ts';

export interface MqttListenersOptions {
  readonly host: string;
  /** MQTT over TCP. For this port and the next three, 0 picks a free port. */
  readonly port: number;
  /** MQTT over TLS. Absent (also for the next two): not listened on. */
  readonly tlsPort?: number | undefined;
  /** MQTT over WebSocket. */
  readonly wsPort?: number | undefined;
  /** MQTT over WebSocket with TLS. */
  readonly wssPort?: number | undefined;
  /** Proxies in front of the ports with WebSocket whose `X-Forwarded-For` is believed. Absent: none. */
  readonly trustedProxies?: Networks | undefined;
  /** The certificate of the two ports with TLS, which need one. */
  readonly certificate?: CertificateFiles | undefined;
}

interface Parts {
  readonly arrivals: Arrivals;
  readonly counters: BrokerCounters;
  readonly log: Logger;
  readonly handshakeMs: number;
  readonly onArrival: (arrival: IncomingConnection) => void;
  readonly refused: EntranceOptions['refused'];
  /** Called when other certificates, or other lists of revoked ones, are in force. */
  readonly onRenewal: () => void;
}

/** The ports in use; those that are off are absent. */
export interface ListenerPorts {
  readonly mqtt: number;
  readonly mqtts?: number;
  readonly ws?: number;
  readonly wss?: number;
}

/** Every port that clients connect to, and the certificate that those with TLS show. */
export class MqttListeners {
  private readonly options: MqttListenersOptions;
  private readonly parts: Parts;
  private readonly open: ListenerPart[] = [];
  private certificate: Certificate | undefined;

  constructor(options: MqttListenersOptions, parts: Parts) {
    this.options = options;
    this.parts = parts;
  }

  /** How many seconds the TLS certificate is still valid; undefined when there is none. */
  get certificateSecondsLeft(): number | undefined {
    return this.certificate?.secondsLeft;
  }

  /** How many seconds the lists of revoked certificates still hold; undefined when there are none. */
  get listSecondsLeft(): number | undefined {
    return this.certificate?.listSecondsLeft;
  }

  /** Whether a list says that the client certificate of this key was revoked. */
  isRevoked(key: string): boolean {
    return this.certificate?.isRevoked(key) ?? false;
  }

  /** Resolves when clients can connect at every port. Rejects with ConfigInvalid, naming the wrong setting; no port is open then. */
  async listen(): Promise<ListenerPorts> {
    const { port, tlsPort, wsPort, wssPort } = this.options;
    try {
      const mqtt = await this.add('LOAM_MQTT_PORT', port, (options) => new TcpEntrance(options));
      const mqtts = await this.addTls('LOAM_MQTTS_PORT', tlsPort, (o, context) => new TlsEntrance(o, context));
      const ws =
        wsPort === undefined ? undefined : await this.add('LOAM_MQTT_WS_PORT', wsPort, (o) => new WebSocketEntrance(o));
      const wss = await this.addTls('LOAM_MQTT_WSS_PORT', wssPort, (o, context) => new WebSocketEntrance(o, context));
      return {
        mqtt,
        ...(mqtts === undefined ? {} : { mqtts }),
        ...(ws === undefined ? {} : { ws }),
        ...(wss === undefined ? {} : { wss }),
      };
    } catch (error) {
      this.close();
      throw error;
    }
  }

  /** Takes no more connections. */
  close(): void {
    this.certificate?.close();
    for (const entrance of this.open.splice(0)) entrance.close();
  }

  private async add(
    setting: string,
    port: number,
    create: (options: ConstructorParameters<typeof TcpEntrance>[0]) => ListenerPart,
  ): Promise<number> {
    const { host, trustedProxies } = this.options;
    const entrance = create({ ...this.parts, host, trustedProxies, port, setting });
    const bound = await entrance.listen();
    this.open.push(entrance);
    return bound;
  }

  private async addTls(
    setting: string,
    port: number | undefined,
    create: (options: ConstructorParameters<typeof TcpEntrance>[0], context: SecureContextOptions) => ListenerPart,
  ): Promise<number | undefined> {
    if (port === undefined) return undefined;
    const { certificate: files } = this.options;
    if (!files) throw new ConfigInvalid(setting, `${setting}: TLS needs LOAM_TLS_CERT and LOAM_TLS_KEY`);
    this.certificate ??= await Certificate.open(files, this.parts.log, (context) => {
      for (const entrance of this.open) entrance.renew(context);
      this.parts.onRenewal();
    });
    const { context } = this.certificate;
    return this.add(setting, port, (options) => create(options, context));
  }
}
