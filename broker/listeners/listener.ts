import { createServer, type Server, type Socket } from 'node:net';
import type { Duplex } from 'node:stream';
import { createServer as createTlsServer, type SecureContextOptions, type TLSSocket, type TlsOptions } from 'node:tls';
import { ConfigInvalid, explain } from '../../core/errors.ts';
import type { Networks } from '../../core/networks.ts';
import { type Arrivals, wayOf } from '../auth/arrivals.ts';
import { type ClientCertificate, clientCertificate } from '../auth/client-certificate.ts';
import type { EntranceFault } from '../auth/connection-reports.ts';
import type { BrokerCounters } from '../counters.ts';
import { certificateKey } from './revocation-list.ts';

/** A connection that a client has made: TCP, TLS or WebSocket. */
export interface IncomingConnection {
  /** The bytes of MQTT, both ways. */
  readonly wire: Duplex;
  readonly address: string;
  /** The client's certificate, which the CA has signed. Absent when it showed none. */
  readonly certified?: ClientCertificate | undefined;
  /** What `Arrivals` knows it by. */
  readonly way?: string | undefined;
}

/** One port that clients connect to. */
export interface ListenerPart {
  /** Resolves with the port when connections are taken. Rejects with ConfigInvalid when the address cannot be listened on. */
  listen(): Promise<number>;
  /** Uses another certificate for new connections; open connections keep theirs. */
  renew(context: SecureContextOptions): void;
  /** Takes no more connections. Those that are open stay open. */
  close(): void;
}

export interface EntranceOptions {
  readonly host: string;
  readonly port: number;
  /** The variable that sets the port, for error messages. */
  readonly setting: string;
  readonly arrivals: Arrivals;
  readonly counters: BrokerCounters;
  /** As in `MqttListenersOptions`. */
  readonly trustedProxies?: Networks | undefined;
  /** Longest time for a handshake, ms. */
  readonly handshakeMs: number;
  readonly onArrival: (arrival: IncomingConnection) => void;
  /** Told of each connection that does not arrive. */
  readonly refused: (address: string, why: EntranceFault, what?: string) => void;
}

const IDLE_PROBE_MS = 60_000;
const BACKLOG = 4_096;

/** No delay: answers are small and clients wait for each. TCP probes find a vanished peer even when its keepalive is 0. */
export const SOCKET_OPTIONS = { noDelay: true, keepAlive: true, keepAliveInitialDelay: IDLE_PROBE_MS } as const;

/** The TCP socket that clients connect to. */
export class TcpEntrance implements ListenerPart {
  private readonly options: EntranceOptions;
  private readonly server: Server;

  constructor(options: EntranceOptions) {
    this.options = options;
    this.server = createServer(SOCKET_OPTIONS, (socket) => {
      if (!socket.destroyed)
        options.onArrival({ wire: socket, address: socket.remoteAddress ?? '', way: wayOf(socket) });
    });
    guard(this.server, options);
  }

  listen(): Promise<number> {
    return listenOn(this.server, this.options);
  }

  renew(): void {}

  close(): void {
    this.server.close();
  }
}

/** The same over TLS. A client that shows a certificate must show one that the CA has signed. */
export class TlsEntrance implements ListenerPart {
  private readonly options: EntranceOptions;
  private readonly server: ReturnType<typeof createTlsServer>;

  constructor(options: EntranceOptions, context: SecureContextOptions) {
    this.options = options;
    const { counters, handshakeMs, onArrival, refused } = options;
    this.server = createTlsServer({ ...SOCKET_OPTIONS, ...tlsOptions(context), handshakeTimeout: handshakeMs });
    this.server.on('secureConnection', (socket) => {
      const certified = certificateOf(socket);
      if (certified === false) {
        counters.refusedTls += 1;
        refused(socket.remoteAddress ?? '', 'certificate');
        socket.destroy();
      } else {
        onArrival({ wire: socket, address: socket.remoteAddress ?? '', certified, way: wayOf(socket) });
      }
    });
    countFailures(this.server, options);
    guard(this.server, options);
  }

  listen(): Promise<number> {
    return listenOn(this.server, this.options);
  }

  renew(context: SecureContextOptions): void {
    this.server.setSecureContext({ ...tlsOptions(context) });
  }

  close(): void {
    this.server.close();
  }
}

/** TLS 1.2 and later. Clients are asked for a certificate only when there is a CA, and may connect without one. */
export function tlsOptions(context: SecureContextOptions): TlsOptions {
  return { ...context, minVersion: 'TLSv1.2', requestCert: context.ca !== undefined, rejectUnauthorized: false };
}

/** A client's certificate; undefined when it showed none; false when it is not signed, was revoked or has no common name. */
export function certificateOf(socket: TLSSocket): ClientCertificate | undefined | false {
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return undefined;
  const name: unknown = socket.getPeerCertificate().subject?.CN;
  if (!socket.authorized || typeof name !== 'string') return false;
  return clientCertificate(name, certificateKey(certificate), certificate);
}

/** Counts TLS handshakes that failed, and closes their sockets. */
export function countFailures(server: Server, { counters, refused }: EntranceOptions): void {
  server.on('tlsClientError', (error: NodeJS.ErrnoException, socket: TLSSocket) => {
    counters.refusedTls += 1;
    refused(socket.remoteAddress ?? '', 'tls', error.code);
    socket.destroy();
  });
}

/** Closes connections for which there is no room, before a byte of them is read. Counts the others. */
export function guard(server: Server, { arrivals }: EntranceOptions): void {
  server.prependListener('connection', (socket: Socket) => void arrivals.take(socket));
}

/** Resolves with the port when `server` listens. Rejects with ConfigInvalid, which says in one line why it cannot. */
export function listenOn(server: Server, { host, port, setting }: EntranceOptions): Promise<number> {
  return new Promise((resolve, reject) => {
    const failed = (error: NodeJS.ErrnoException) => reject(cannotListen(host, port, setting, error));
    server.once('error', failed);
    server.listen({ host, port, backlog: BACKLOG }, () => {
      server.off('error', failed);
      const address = server.address();
      resolve(typeof address === 'object' && address !== null ? address.port : port);
    });
  });
}

const CAUSES: Readonly<Record<string, { of: 'port' | 'host'; cause: string }>> = {
  EADDRINUSE: { of: 'port', cause: 'another program listens there already' },
  EACCES: { of: 'port', cause: 'this user may not listen there (ports below 1024 need a privilege)' },
  EADDRNOTAVAIL: { of: 'host', cause: 'this machine has no such address' },
  ENOTFOUND: { of: 'host', cause: 'this host name is not known' },
  EAI_AGAIN: { of: 'host', cause: 'this host name cannot be looked up' },
};

function cannotListen(host: string, port: number, setting: string, error: NodeJS.ErrnoException): ConfigInvalid {
  const { of, cause } = CAUSES[error.code ?? ''] ?? { of: 'host', cause: explain(error) };
  const [name, value] = of === 'port' ? [setting, port] : ['LOAM_MQTT_HOST', host];
  return new ConfigInvalid(name, `${name}=${value}: cannot listen for MQTT on ${host}:${port}: ${cause}`, {
    cause: error,
  });
}
