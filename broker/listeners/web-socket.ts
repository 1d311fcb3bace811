import { createServer, type IncomingMessage, type Server } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import type { Duplex } from 'node:stream';
import { type SecureContextOptions, TLSSocket } from 'node:tls';
import { createWebSocketStream, type WebSocket, WebSocketServer } from 'ws';
import { clientAddress } from '../../core/forwarded.ts';
import { Networks } from '../../core/networks.ts';
import { wayOf } from '../auth/arrivals.ts';
import {
  certificateOf,
  countFailures,
  type EntranceOptions,
  guard,
  type ListenerPart,
  listenOn,
  SOCKET_OPTIONS,
  tlsOptions,
} from './listener.ts';
import { MessageSplitter } from './message-splitter.ts';

const SUBPROTOCOL = 'mqtt';
const PATHS = new Set(['/', '/mqtt']);
/** More than a message has once it was split. A text that is larger closes the connection before it is buffered. */
const MOST_MESSAGE_BYTES = 256 * 1024;

const NONE = new Networks();
const NOTHING = Buffer.alloc(0);

/** MQTT over WebSocket (3.1.1, section 6), with TLS or without: on `/mqtt`, subprotocol `mqtt`, binary messages. */
export class WebSocketEntrance implements ListenerPart {
  private readonly options: EntranceOptions;
  private readonly server: Server | ReturnType<typeof createTlsServer>;
  private readonly sockets: WebSocketServer;

  /** Uses TLS when there is a `context`. */
  constructor(options: EntranceOptions, context?: SecureContextOptions) {
    this.options = options;
    const http = { ...SOCKET_OPTIONS, headersTimeout: options.handshakeMs, requestTimeout: options.handshakeMs };
    this.server = context
      ? createTlsServer({ ...http, ...tlsOptions(context), handshakeTimeout: options.handshakeMs })
      : createServer(http);
    if (context) countFailures(this.server, options);
    guard(this.server, options);
    this.sockets = new WebSocketServer({
      noServer: true,
      clientTracking: false,
      perMessageDeflate: false,
      maxPayload: MOST_MESSAGE_BYTES,
      handleProtocols: () => SUBPROTOCOL,
    });
    this.server.on('request', (_, response) => {
      response.writeHead(426, { connection: 'close', upgrade: 'websocket' });
      response.end('MQTT over WebSocket, subprotocol mqtt\n');
    });
    this.server.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) =>
      this.upgrade(request, socket, head),
    );
  }

  listen(): Promise<number> {
    return listenOn(this.server, this.options);
  }

  renew(context: SecureContextOptions): void {
    if ('setSecureContext' in this.server) this.server.setSecureContext({ ...tlsOptions(context) });
  }

  close(): void {
    this.server.close();
  }

  private upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { arrivals, counters, onArrival, refused, trustedProxies = NONE } = this.options;
    const certified = request.socket instanceof TLSSocket ? certificateOf(request.socket) : undefined;
    // Node joins the lines of this header with commas, in the order in which they came.
    const forwardedFor = [request.headers['x-forwarded-for'] ?? []].flat().join(',');
    const address = clientAddress(request.socket.remoteAddress ?? '', forwardedFor, trustedProxies);
    if (certified === false) {
      counters.refusedTls += 1;
      refused(address, 'certificate');
    }
    const protocols = (request.headers['sec-websocket-protocol'] ?? '').split(',').map((name) => name.trim());
    const isOurs = protocols.includes(SUBPROTOCOL) && PATHS.has(request.url?.split('?', 1)[0] ?? '');
    if (certified === false || !isOurs) {
      refuse(socket, '400 Bad Request');
      return;
    }
    if (!arrivals.hasRoom(address)) {
      refuse(socket, '503 Service Unavailable');
      return;
    }
    const split = new MessageSplitter(socket, head);
    this.sockets.handleUpgrade(request, split, NOTHING, (webSocket) => {
      onArrival({ wire: wireOf(webSocket), address, certified, way: wayOf(request.socket) });
    });
  }
}

function refuse(socket: Duplex, status: string): void {
  socket.on('error', () => {});
  socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
}

function wireOf(webSocket: WebSocket): Duplex {
  // Text messages are not allowed [MQTT-6.0.0-1].
  webSocket.prependListener('message', (_, isBinary) => {
    if (!isBinary) webSocket.terminate();
  });
  const wire = createWebSocketStream(webSocket);
  // The stream ends when the other side has closed: nothing can be written to it any more.
  wire.once('end', () => wire.destroy());
  return wire;
}
